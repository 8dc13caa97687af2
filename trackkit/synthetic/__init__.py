"""Videos that are made here, with exact ground truth: for demos, tests, benchmarks and training.

A :class:`Scene` describes a video completely and is the same for the same seed on every machine::

    scene = make_scene(7)
    write_video(scene, "shapes.mp4")
    truth = ground_truth(scene)
"""

from trackkit.synthetic.dataset import ground_truth, write_dataset, write_video
from trackkit.synthetic.render import GroundTruthFrame, iter_frames, render_frame
from trackkit.synthetic.scenery import BACKGROUNDS, NATURAL_BACKGROUNDS, SHAPES, TEXTURES
from trackkit.synthetic.scenes import Camera, Scene, SceneObject, make_natural_scene, make_scene

__all__ = [
    "BACKGROUNDS",
    "NATURAL_BACKGROUNDS",
    "SHAPES",
    "TEXTURES",
    "Camera",
    "GroundTruthFrame",
    "Scene",
    "SceneObject",
    "ground_truth",
    "iter_frames",
    "make_natural_scene",
    "make_scene",
    "render_frame",
    "write_dataset",
    "write_video",
]
