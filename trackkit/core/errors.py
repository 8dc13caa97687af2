"""Everything that trackkit raises on purpose.

    TrackkitError
    ├── ConfigError (ValueError)    an option has a value that cannot work
    │   └── PromptError             a text prompt cannot be understood, an object's prompt cannot be followed
    ├── CheckpointError             model weights are missing, cut or of another model
    ├── VideoError
    │   ├── VideoOpenError          no frame could be read
    │   ├── VideoDecodeError        reading broke off in the middle
    │   ├── VideoTimeout            it took longer than it may
    │   └── VideoWriteError         an output video could not be written
    │       └── StorageError        and no other one could: the disk is full, the folder gone
    ├── ResultsError                a results or ground-truth file is damaged or of another run
    └── ClusterError                workers could not be started or reached

All of them take positional arguments only, so that they survive pickling between processes.
A message says what happened, the value, what was expected, and what to do.
"""

from __future__ import annotations


class TrackkitError(Exception):
    """Base class of all errors that trackkit raises on purpose."""


class ConfigError(TrackkitError, ValueError):
    """An option has a value that cannot work."""


class PromptError(ConfigError):
    """A text prompt cannot be understood, or what points out an object cannot be followed."""


class CheckpointError(TrackkitError):
    """Model weights are missing, cut, or of another model."""


class VideoError(TrackkitError):
    """A video cannot be read or written."""


class VideoOpenError(VideoError):
    """No frame can be read: missing, empty, not a video, audio only."""


class VideoDecodeError(VideoError):
    """Reading broke off in the middle."""


class VideoTimeout(VideoError):
    """A video took longer than it may."""


class VideoWriteError(VideoError):
    """An output video cannot be written."""


class StorageError(VideoWriteError):
    """No output video can be written any more: the disk is full, the folder gone. It ends the run."""


class ResultsError(TrackkitError):
    """A file of results or of ground truth is damaged, or belongs to another run or video."""


class ClusterError(TrackkitError):
    """Workers cannot be started or reached."""
