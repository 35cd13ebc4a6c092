"""Every architecture of transformers, tiny and random, through luthier's doors.

tiny_config(model_type)     configs: its own configuration with small sizes
make(model_type, folder)    folders: the model's folder, and what is right for it by the plainest way
go_through(model_type, ...) doors: how it ends: right, refused in a sentence, or broken
python -m tests.sweep       all of them, as a table
"""
