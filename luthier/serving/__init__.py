"""Arms and models behind an OpenAI-compatible address.

served    what a server answers for: a measured arm, or a model with messages as they come
engine    one thread that owns the models and drives the generator for all who ask
protocol  what a client may send, field by field
agreement how many measured answers the server gives, asked all at once
prepare   what a client sent -> requests to the engine
replies   answers -> what a client receives, whole or in chunks
guard     who may come in, and how much he may bring: checked before anything is read
app       the addresses of the server
server    the door: load, listen, end
"""
