"""Objects by hand, step by step: look at a frame, point something out, correct what came of it, go on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.errors import PromptError, ResultsError
from trackkit.core.prompts import OFF, ON, Prompt, settle_prompts
from trackkit.detectors.none import NoDetector
from trackkit.results.columns import TRACK_DTYPES, concat_tables, empty_frame
from trackkit.results.journal import Journal
from trackkit.results.rows import objects_in
from trackkit.results.video_result import VideoResult
from trackkit.trackers import check_promptable, load_tracker
from trackkit.tracking.models import Models
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking.track_video import track_video
from trackkit.tracking_results import TrackingResults
from trackkit.video.inputs import make_task
from trackkit.video.reader import probe, read_frames

#: Frames before a correction through which an object is led again, so that SAM 2 remembers how it looked.
LEAD_IN_FRAMES = 8


class Annotation:
    """One video, and what the user points out in it.

    Every object is followed by itself. A correction on a frame changes that object from there on; what it was
    before, and all other objects, keep their rows as they are, bit for bit.

    Args:
        video: A file, or a folder of numbered images.
        config: Its classes are the labels, its tracker follows. The detector does not run.
        result: What is known already, to be corrected.
        models: From ``trackkit.tracking.models.load_models``; None loads the tracker on the first run.
        device: Where to load it, ``"cpu"`` or ``"cuda:N"``.

    Attributes:
        result: What the last run gave; None before the first.
        pending: What was pointed out since; items may be deleted.

    Raises:
        VideoOpenError: The video is not there, or gives no frame.
        PromptError: The tracker cannot take prompts.

    Example:
        >>> car = tk.annotate("drive.mp4", tk.TrackConfig("car"))  # doctest: +SKIP
        >>> car.show(0)  # a grid to read coordinates off  # doctest: +SKIP
        >>> car.add_box(1, 0, (120, 80, 260, 170))  # doctest: +SKIP
        >>> car.run().tracks  # doctest: +SKIP
        >>> car.add_click(1, 45, 130, 160, positive=False)  # the mask has spilled over  # doctest: +SKIP
        >>> car.run()  # the same until frame 44  # doctest: +SKIP
    """

    def __init__(
        self,
        video: str | os.PathLike[str],
        config: TrackConfig,
        *,
        result: VideoResult | None = None,
        models: Models | None = None,
        device: str = "cpu",
    ) -> None:
        check_promptable(config)
        self._task = result.task if result is not None else make_task(video)
        self._info = probe(self._task.source)
        self.config, self.result = config, result
        self.pending: list[Prompt] = []
        self._drops: dict[int, int] = {}
        self._given = list(self._task.prompts)  # in earlier runs
        self._tracker = None if models is None else models.tracker
        self._device = device if models is None else models.device

    # What the user points out ---------------------------------------------------------------------

    def add_box(
        self, obj_id: int, frame_idx: int, box: Sequence[float], label: str | None = None
    ) -> Annotation:
        """Start an object with a box, or start it anew: ``x1, y1, x2, y2`` in pixels.

        Raises:
            PromptError: The box is outside of the frame, or the label is none of the classes.
        """
        return self._add(Prompt(frame_idx, obj_id, label, box=tuple(box)))

    def add_click(
        self,
        obj_id: int,
        frame_idx: int,
        x: float,
        y: float,
        *,
        positive: bool = True,
        label: str | None = None,
    ) -> Annotation:
        """Start an object with a click, or correct it: ``positive`` is on the object, else off it.

        Clicks on one object and frame count together, beside a box that was given there.

        Raises:
            PromptError: The click is outside of the frame, the first one is off the object, or the label is
                none of the classes.
        """
        sign = ON if positive else OFF
        return self._add(Prompt(frame_idx, obj_id, label, points=((x, y),), point_labels=(sign,)))

    def add_mask(
        self, obj_id: int, frame_idx: int, mask: npt.ArrayLike, label: str | None = None
    ) -> Annotation:
        """Start an object with its mask ``(H, W)``, or give it this one.

        Raises:
            PromptError: The mask is empty or of another size, or the label is none of the classes.
        """
        return self._add(Prompt(frame_idx, obj_id, label, mask=mask))

    def drop(self, obj_id: int, from_frame: int = 0) -> Annotation:
        """Take an object out, from a frame on.

        Raises:
            PromptError: There is no such object.
        """
        if obj_id not in self.obj_ids:
            known = ", ".join(map(str, self.obj_ids)) or "none"
            msg = f"{self._task.video_path}: there is no object {obj_id}: the objects are {known}"
            raise PromptError(msg)
        self._drops[obj_id] = from_frame
        self.pending = [each for each in self.pending if not _is_of(each, self._drops)]
        return self

    @property
    def obj_ids(self) -> list[int]:
        """All objects, those that are only pointed out so far included."""
        ids = {prompt.obj_id for prompt in self.pending}
        return sorted(ids | set(self._tracks["obj_id"].tolist()))

    # What comes of it -----------------------------------------------------------------------------

    def run(self, on_progress: ProgressCallback | None = None) -> VideoResult:
        """Follow what was pointed out since the last run.

        Returns:
            The whole video: rows before the first prompt of an object, and those of objects without new
            prompts, are those of the result before.

        Raises:
            PromptError: A frame is beyond the end of the video, or is not processed (``config.fps``).
            CheckpointError: The tracker cannot be loaded.
        """
        if self.result is None and not self.pending:  # there may be nothing but drops, else
            msg = f"{self._task.video_path}: nothing is pointed out yet: add a box, a click or a mask"
            raise PromptError(msg)
        before, result = self._tracks, self.result
        changed = _first_frames(self.pending)
        rows = [before[~_from(before, changed)]]
        if changed:
            result = self._follow(changed, on_progress)
            rows.append(result.tracks[_from(result.tracks, changed)])
        assert result is not None
        tracks = concat_tables((table[~_from(table, self._drops)] for table in rows), TRACK_DTYPES)
        tracks = tracks.sort_values(["frame_idx", "obj_id"], kind="stable", ignore_index=True)
        notes = [f"by hand: {prompt}" for prompt in self.pending]
        notes += [f"by hand: object {k} dropped from frame {i} on" for k, i in self._drops.items()]
        earlier = self.result.warnings if self.result is not None else ()
        warnings = tuple(dict.fromkeys((*earlier, *result.warnings, *notes)))
        self.result = replace(result, task=self._task, tracks=tracks, warnings=warnings)
        self._given = [each for each in (*self._given, *self.pending) if not _is_of(each, self._drops)]
        self.pending, self._drops = [], {}
        return self.result

    def save(self, output_jsonl: str | os.PathLike[str], layout: str = "frames") -> None:
        """Append the result to a results file; of several results of a video, the last one counts.

        Raises:
            ResultsError: The file holds results of other options, or cannot be written.
        """
        if self.result is None:
            msg = f"{self._task.video_path}: there is no result yet: call run() first"
            raise ResultsError(msg)
        with Journal(output_jsonl, self.config, layout=layout) as journal:
            journal.write(self.result)

    def show(self, frame_idx: int, *, grid: bool = True) -> Any:
        """A frame with what is known of it, for a notebook (a PIL image): see :meth:`picture`."""
        from PIL import Image as PillowImage

        return PillowImage.fromarray(self.picture(frame_idx, grid=grid))

    def picture(self, frame_idx: int, *, grid: bool = True) -> Image:
        """A frame, RGB ``uint8``, enlarged where it is small.

        Drawn are the objects of the result, what is pointed out and not yet followed (boxes; clicks on the
        object green, off it red), and a grid with coordinates in pixels of the video.

        Raises:
            VideoDecodeError: The video has no such frame.
        """
        from trackkit.video.draw import draw  # supervision takes a second to import

        (frame,) = read_frames(self._task.source, [frame_idx])
        rows = self._tracks[self._tracks["frame_idx"] == frame_idx]
        image = draw(objects_in(rows, frame))
        scale = max(1, round(900 / image.shape[1]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        if grid:
            _draw_grid(image, scale)
        for prompt in self.pending:
            if prompt.frame_idx == frame_idx:
                _draw_prompt(image, prompt, scale)
        return np.asarray(image, np.uint8)

    # Small parts ----------------------------------------------------------------------------------

    @property
    def _tracks(self) -> pd.DataFrame:
        return empty_frame(TRACK_DTYPES) if self.result is None else self.result.tracks

    def _add(self, prompt: Prompt) -> Annotation:
        prompt.check_inside(self._info.width, self._info.height)
        self._check_frame(prompt)
        labels = self._tracks.drop_duplicates("obj_id").set_index("obj_id")["label"].to_dict()
        prompt = replace(prompt, label=prompt.label or labels.get(prompt.obj_id))
        if _is_of(prompt, self._drops):
            msg = f"{prompt}: the object was dropped: call run() first, or take another obj_id"
            raise PromptError(msg)
        pending = _merged((*self.pending, prompt))
        self._settle((*self._lead_in(_first_frames(pending)), *pending))
        self.pending = pending
        return self

    def _settle(self, prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
        return settle_prompts(prompts, self.config.classes, self.config.max_objects)

    def _check_frame(self, prompt: Prompt) -> None:
        if self.result is None:
            frames = range(self._info.num_frames or prompt.frame_idx + 1)
        else:
            frames = self.result.frames[0].tolist()
        if prompt.frame_idx not in frames:
            problem = "is beyond the end" if prompt.frame_idx > frames[-1] else "is not processed"
            msg = f"{prompt}: frame {prompt.frame_idx} {problem}: the last one is {frames[-1]}"
            raise PromptError(msg)

    def _follow(self, changed: dict[int, int], on_progress: ProgressCallback | None) -> VideoResult:
        """Track the objects that were pointed out, each from its lead-in on."""
        again = [each for each in self._given if _is_of(each, changed)]
        prompts = [*self._lead_in(changed), *_merged((*again, *self.pending))]
        if self._tracker is None:
            self._tracker = load_tracker(self.config, self._device)
        models = Models(NoDetector(), self._tracker, self._device, 0.0)
        config = self.config.replace(detector="none")
        task = replace(self._task, output_video=None, prompts=self._settle(prompts))
        return track_video(task, config, models=models, on_progress=on_progress)

    def _lead_in(self, changed: dict[int, int]) -> list[Prompt]:
        """Masks of objects as they were before they are changed: the first and the last of a few frames."""
        tracks, prompts = self._tracks, []
        for obj_id, frame_idx in changed.items():
            rows = tracks[(tracks["obj_id"] == obj_id) & (tracks["frame_idx"] < frame_idx)]
            columns = (rows[name].tolist()[-LEAD_IN_FRAMES:] for name in ("frame_idx", "label", "mask_rle"))
            led = list(zip(*columns, strict=True))
            for idx, label, rle in dict.fromkeys((*led[:1], *led[-1:])):  # once, if they are one
                size = self._info.height, self._info.width
                prompts.append(Prompt(idx, obj_id, label, mask_rle=rle, mask_size=size))
        return prompts


def annotate(video: str | os.PathLike[str], config: TrackConfig, *, device: str = "cpu") -> Annotation:
    """Begin to point out objects in a video: see :class:`Annotation`."""
    return Annotation(video, config, device=device)


def edit(
    results: TrackingResults, video: str | os.PathLike[str] | None = None, *, device: str = "cpu"
) -> Annotation:
    """Correct the result of one video: see :class:`Annotation`.

    Args:
        results: From a run, or read from a file.
        video: As in :meth:`TrackingResults.of`; may be left out where only one was tracked.
        device: Where to load the tracker, ``"cpu"`` or ``"cuda:N"``.

    Raises:
        ResultsError: The results do not hold that video, or it failed.
        PromptError: The tracker of the run cannot take prompts.
    """
    result = results.of(video)
    return Annotation(result.task.video_path, results.config, result=result, device=device)


def _from(tracks: pd.DataFrame, first: Mapping[int, int]) -> npt.NDArray[np.bool_]:
    """Which rows are of these objects, from these frames on."""
    starts = tracks["obj_id"].map(dict(first))
    return np.asarray(starts.notna() & (tracks["frame_idx"] >= starts))


def _is_of(prompt: Prompt, first: Mapping[int, int]) -> bool:
    """Whether it is of one of these objects, on that frame or later."""
    return prompt.obj_id in first and prompt.frame_idx >= first[prompt.obj_id]


def _first_frames(prompts: Iterable[Prompt]) -> dict[int, int]:
    """Each object's first frame."""
    return {each.obj_id: each.frame_idx for each in sorted(prompts, key=lambda each: -each.frame_idx)}


def _merged(prompts: Iterable[Prompt]) -> list[Prompt]:
    """At most one of each object and frame, in the order given."""
    merged: dict[tuple[int, int], Prompt] = {}
    for each in prompts:
        place = each.frame_idx, each.obj_id
        merged[place] = _joined(merged[place], each) if place in merged else each
    return list(merged.values())


def _joined(a: Prompt, b: Prompt) -> Prompt:
    """Two prompts of one object on one frame: clicks are added, a new box or mask takes the place of all."""
    if not b.is_correction or a.mask_rle is not None:
        return replace(b, label=b.label or a.label)
    return replace(
        a,
        label=b.label or a.label,
        points=(*a.points, *b.points),
        point_labels=(*a.point_labels, *b.point_labels),
    )


def _draw_grid(image: Image, scale: int) -> None:
    height, width = image.shape[:2]
    step = next(s for s in (10, 20, 50, 100, 200, 500, 1000, 5000) if s * scale >= 70)
    faint = image.copy()
    for axis, size in ((0, width), (1, height)):
        for value in range(0, size // scale + 1, step):
            at = value * scale
            ends = ((at, 0), (at, height)) if axis == 0 else ((0, at), (width, at))
            cv2.line(faint, ends[0], ends[1], (255, 255, 255), 1)
    cv2.addWeighted(faint, 0.45, image, 0.55, 0, dst=image)
    for value in range(0, width // scale + 1, step):
        _write(image, str(value), (value * scale + 3, 13))
    for value in range(step, height // scale + 1, step):
        _write(image, str(value), (3, value * scale - 4))


def _write(image: Image, text: str, place: tuple[int, int]) -> None:
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, thickness, cv2.LINE_AA)


def _draw_prompt(image: Image, prompt: Prompt, scale: int) -> None:
    if prompt.box is not None:
        x1, y1, x2, y2 = (round(value * scale) for value in prompt.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), (255, 255, 255), 2)
        _write(image, f"#{prompt.obj_id}", (x1 + 4, y1 + 16))
    for (x, y), label in zip(prompt.points, prompt.point_labels, strict=True):
        at = round(x * scale), round(y * scale)
        cv2.circle(image, at, 7, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, at, 5, (30, 200, 60) if label == ON else (230, 40, 40), -1, cv2.LINE_AA)
