"""luthier fits a language model to a task and proves that it fits."""

__version__ = "0.1.0"
