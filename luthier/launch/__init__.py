"""Starts `luthier` where others run it: a study as a job of Amazon SageMaker, and its arm behind an endpoint.

contract: the folders, settings and files that a training job has.
sagemaker: the study of a job, from a channel to the model folder.
endpoint: the arm of a finished job, behind /ping and /invocations.
request: what starts a job, written without asking anybody; the files that an image needs.

Doors: `sagemaker.train`, `endpoint.serve_model`, `request.write_job`.
"""
