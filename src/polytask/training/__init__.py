"""Training: options, the loop that yields events, its listeners, checkpoints, the learner and its artefact."""

from polytask.training.artefact import Artefact, read_artefact, write_artefact
from polytask.training.config import LearnerConfig
from polytask.training.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    Listener,
    LossSkipped,
    RunFinished,
    RunStarted,
    RunStopped,
    StepDone,
)
from polytask.training.fitted import Fitted
from polytask.training.learner import Learner, load, resume
from polytask.training.listeners import TRACKERS, ProgressLines
from polytask.training.loop import Job, train
from polytask.training.options import TrainingOptions
from polytask.training.parts import Part, routed_outputs
from polytask.training.recipe import Recipe
from polytask.training.scores import Scores, TaskScores
from polytask.training.trainer import Trained, train_model

__all__ = [
    "TRACKERS",
    "Artefact",
    "CheckpointSaved",
    "EpochDone",
    "Event",
    "Fitted",
    "Job",
    "Learner",
    "LearnerConfig",
    "Listener",
    "LossSkipped",
    "Part",
    "ProgressLines",
    "Recipe",
    "RunFinished",
    "RunStarted",
    "RunStopped",
    "Scores",
    "StepDone",
    "TaskScores",
    "Trained",
    "TrainingOptions",
    "load",
    "read_artefact",
    "resume",
    "routed_outputs",
    "train",
    "train_model",
    "write_artefact",
]
