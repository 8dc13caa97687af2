"""Streaming segmentation of many objects with stock SAM 2: one frame in, the masks of all objects out.

The package's ``SAM2VideoPredictor`` needs the whole video, grows with every frame and runs object by object.
This engine sees each frame once, holds a fixed memory per object, and takes all objects through the model in
one batch, whatever their age. Objects come and go at any frame; none of them notices the others. Its logits
equal those of the stock predictor (Ravi et al., arXiv 2408.00714) for each object alone.

    engine = Sam2Engine(stages, (height, width))
    for features in engine.encode(images):
        tracked = engine.propagate(features)                       # every frame, exactly once
        born = engine.condition(features, [BoxPrompt(1, box)])     # where there is something to prompt
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from trackkit.core.arrays import Image
from trackkit.trackers.by_mask.prompts import EnginePrompt, MaskPrompt, PointPrompt, check_prompts
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.regions import keep_large_regions
from trackkit.trackers.sam2.build import SAM2Base
from trackkit.trackers.sam2.decoding import Answer, decode_prompts, refine
from trackkit.trackers.sam2.memory import MemoryBank, ObjectMemory, Observation, Recall, StockSelector
from trackkit.trackers.sam2.preprocess import Resizer, preprocess
from trackkit.trackers.sam2.samurai import SamuraiSelector
from trackkit.trackers.sam2.stages import FrameFeatures, Sam2Stages

Attention: TypeAlias = Literal["auto", "cohort", "padded"]
Memory: TypeAlias = Literal["stock", "samurai"]
T = TypeVar("T")


class Sam2Engine:
    """Tracks the objects of one video.

    Args:
        model: The stages of a loaded model, shared by all videos of a worker. A bare ``SAM2Base`` runs in its
            own precision, uncompiled.
        video_size: ``(height, width)`` of the frames, pixels.
        memory: ``"stock"``, ``"samurai"``, or a selector object of one's own (for this engine alone).
        mem_dtype: Type in which spatial memories are kept; None is that of the stages, or bfloat16 as in the
            package.
        attention: How objects with different amounts of memory are batched. ``"cohort"``: one call for each
            amount. ``"padded"``: one call, filled up to the full amount and masked, so that shapes never
            change. ``"auto"``: one unmasked call where all objects are alike (after 16 frames they are), else
            one masked call.
        max_cond_frames: Prompted frames that an object keeps: its first one and the latest others.
        capacity: Objects that fit before the memory bank grows (it doubles).
        max_batch: Objects that go through the model at once; more of them go in several batches.
        bank_device: Where memories are kept, by default on the model's device; from elsewhere they are
            brought there batch by batch.
        resizer: ``"pil"`` equals the package bit for bit, ``"device"`` resizes on the model's device.
        min_region: Regions of a mask below this share of its largest one are dropped, before the mask is
            remembered; one that was given stays as it is. 0 keeps all, as the package does.

    Not taken over from the package: tracking backwards, and filling of small holes (its CUDA extension is not
    on PyPI).
    """

    def __init__(
        self,
        model: Sam2Stages | SAM2Base,
        video_size: tuple[int, int],
        *,
        memory: Memory | StockSelector = "stock",
        mem_dtype: torch.dtype | None = None,
        attention: Attention = "auto",
        max_cond_frames: int = 2,
        capacity: int = 8,
        max_batch: int = 32,
        bank_device: torch.device | str | None = None,
        resizer: Resizer = "pil",
        min_region: float = 0.0,
    ) -> None:
        self._stages = model if isinstance(model, Sam2Stages) else Sam2Stages(model)
        self._video_size = video_size
        self._attention = attention
        self._max_batch = max_batch
        self._resizer: Resizer = resizer
        self._min_region = min_region
        self._device = self._stages.device
        self._selector = self._make_selector(memory, capacity)
        base = self._stages.model
        self._bank = MemoryBank(
            capacity,
            num_cond=max_cond_frames,
            num_maps=self._selector.num_map_slots,
            num_pointers=self._selector.max_pointers - 1,
            map_shape=(self._stages.side**2, base.mem_dim),
            pointer_dim=base.hidden_dim,
            dtype=mem_dtype or self._stages.dtype or torch.bfloat16,
            device=torch.device(bank_device or self._device),
        )
        self._objects: dict[int, ObjectMemory] = {}
        self._now = -1
        self._current: FrameFeatures | None = None
        # Observations of the last frame, still on the device: fetched when the next frame needs them.
        self._unread: list[tuple[list[ObjectMemory], Tensor]] = []

    def _make_selector(self, memory: Memory | StockSelector, capacity: int) -> StockSelector:
        if isinstance(memory, StockSelector):
            return memory
        base = self._stages.model
        if memory == "samurai":
            return SamuraiSelector(
                base.num_maskmem, base.max_obj_ptrs_in_encoder, capacity=capacity, device=self._device
            )
        return StockSelector(
            base.num_maskmem, base.max_obj_ptrs_in_encoder, base.memory_temporal_stride_for_eval
        )

    # What a tracker calls -------------------------------------------------------------------------

    @property
    def obj_ids(self) -> list[int]:
        """The objects that are tracked, in the order in which they were first prompted."""
        return list(self._objects)

    @property
    def memory_nbytes(self) -> int:
        """Bytes of the memory bank; grows with the most objects at one time, never with the frames."""
        return self._bank.nbytes

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> list[FrameFeatures]:
        """Run the image encoder on upcoming frames, in one batch.

        Args:
            images: RGB ``uint8 (H, W, 3)``, of the video's size.

        Returns:
            One ``FrameFeatures`` per image; about 16 MiB each for a model of 1024 px (half in bf16).

        Raises:
            ValueError: An image has another size than the video.
        """
        for image in images:
            if image.shape != (*self._video_size, 3):
                msg = (
                    f"image has shape {image.shape}, expected {(*self._video_size, 3)}, the size of the video"
                )
                raise ValueError(msg)
        if not images:
            return []
        return self._stages.encode(preprocess(images, self._stages.image_size, self._device, self._resizer))

    @torch.inference_mode()
    def propagate(self, features: FrameFeatures, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        """Go on by one frame: follow all objects. Call it for every frame, also where there is no object yet.

        Args:
            features: Of the next frame.
            clicks: Corrections of objects that are tracked, at most one prompt per object. The mask that was
                found is refined with them, and the frame becomes a conditioning frame. An object that is out
                of sight has no mask to refine: it is started anew, where one of its clicks is positive.

        Returns:
            Masks and scores of all objects, in the order of :attr:`obj_ids`.
        """
        self._read_observations()
        self._now += 1
        self._current = features
        by_id = {prompt.obj_id: prompt for prompt in clicks if not isinstance(prompt, MaskPrompt)}
        batches = self._batches(list(self._objects.values()))
        parts = [self._track(objects, features, by_id) for objects in batches]
        return Propagation.join(parts) if parts else self._nothing()

    @torch.inference_mode()
    def condition(self, features: FrameFeatures, prompts: Sequence[EnginePrompt]) -> Propagation:
        """Start objects on the current frame, or start them anew there; no other object is touched.

        A prompted frame is seen without memory, as SAM 2 does on the first frame of an object. An object that
        was tracked before keeps its memories and gains a conditioning frame.

        Args:
            features: Those that :meth:`propagate` got last.
            prompts: At most one per object; coordinates in pixels of the video.

        Returns:
            Masks and scores of the prompted objects, in the order of ``prompts``.

        Raises:
            ValueError: Not the current frame, two prompts for one object, or a mask of another size.
        """
        if features is not self._current:
            msg = "these are not the features of the current frame: call propagate(features) with them first"
            raise ValueError(msg)
        check_prompts(prompts, self._video_size)
        groups: dict[int, list[EnginePrompt]] = defaultdict(list)
        for prompt in prompts:  # prompts of one kind go through the decoder together
            groups[prompt.num_points].append(prompt)
        parts = [self._start(batch, features) for group in groups.values() for batch in self._batches(group)]
        if not parts:
            return self._nothing()
        return Propagation.join(parts).select([prompt.obj_id for prompt in prompts])

    def forget_recent(self, obj_id: int) -> None:
        """Keep only the conditioning frames of an object, as when it was mistaken for another one since.

        Raises:
            KeyError: No object has that id.
        """
        self._read_observations()
        self._objects[obj_id].forget_all_recent()

    def remove(self, obj_id: int) -> None:
        """Forget an object; its row in the bank is free for another one.

        Raises:
            KeyError: No object has that id.
        """
        self._bank.free_row(self._objects.pop(obj_id).row)

    # Propagation ----------------------------------------------------------------------------------

    def _track(
        self, objects: list[ObjectMemory], features: FrameFeatures, clicks: Mapping[int, PointPrompt]
    ) -> Propagation:
        """Follow one batch of objects to the current frame and remember what was found."""
        stages = self._stages
        recalls = [self._selector.recall(o, self._now) for o in objects]
        rows, map_slots, pointer_slots = self._recent_slots(objects).unbind(1)
        with stages.autocast():
            fused = self._fuse(objects, recalls, features)
            candidates = stages.decode(fused, features.high_res)
            choice, motion = self._selector.choose(rows, candidates.masks, candidates.ious.float())
            masks, ious, pointers = stages.pick(candidates, choice)
            masks = self._tidy(masks)
            maps = stages.remember(features.top, masks, candidates.scores, prompted=False)
        self._bank.write(rows, map_slots, pointer_slots, maps, pointers)
        scores, ious = candidates.scores.float().flatten(), ious.float()
        if self._selector.needs_observations:
            self._unread.append((objects, torch.stack([ious, scores, motion], 1)))
        tracked = Propagation([o.obj_id for o in objects], masks, scores, ious, self._video_size)
        for i, o in enumerate(objects):
            if o.obj_id in clicks:
                before = masks[i : i + 1] if scores[i] > 0 else None
                tracked = tracked.updated(self._correct(clicks[o.obj_id], features, fused[i : i + 1], before))
        return tracked

    def _fuse(self, objects: list[ObjectMemory], recalls: list[Recall], features: FrameFeatures) -> Tensor:
        """Memory attention for objects of any age: ``(B, C, f, f)``."""
        if self._attention == "padded":
            full = (self._bank.num_cond + self._selector.num_recent, self._bank.pointers.shape[1])
            return self._attend(objects, recalls, features, pad_to=full)
        cohorts: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, recall in enumerate(recalls):
            cohorts[len(recall.maps), len(recall.pointers)].append(i)
        if len(cohorts) == 1:
            return self._attend(objects, recalls, features)
        if self._attention == "auto":
            longest = max(k for k, _ in cohorts), max(p for _, p in cohorts)
            return self._attend(objects, recalls, features, pad_to=longest)
        parts = [
            self._attend([objects[i] for i in members], [recalls[i] for i in members], features)
            for members in cohorts.values()
        ]
        order = [i for members in cohorts.values() for i in members]
        back = sorted(range(len(order)), key=order.__getitem__)
        return torch.cat(parts)[self._upload(back)]

    def _attend(
        self,
        objects: list[ObjectMemory],
        recalls: list[Recall],
        features: FrameFeatures,
        pad_to: tuple[int, int] | None = None,
    ) -> Tensor:
        """Gather memories from the bank and attend to them; with ``pad_to``, fill up and hide the filling."""
        key_mask = None
        if pad_to is not None:
            num_maps, num_pointers = pad_to
            hidden = [
                [i < len(r.maps) for i in range(num_maps)]
                + [i < len(r.pointers) for i in range(num_pointers)]
                for r in recalls
            ]
            key_mask = self._upload(hidden)
            recalls = [r.padded(num_maps, num_pointers) for r in recalls]
        table = [
            [o.row, *(x for pair in r.maps for x in pair), *(x for pair in r.pointers for x in pair)]
            for o, r in zip(objects, recalls, strict=True)
        ]
        index = self._upload(table)
        split = 1 + 2 * len(recalls[0].maps)
        rows, maps, pointers = index[:, :1], index[:, 1:split], index[:, split:]
        recalled_maps, recalled_pointers = self._bank.read(rows, maps[:, 0::2], pointers[:, 0::2])
        return self._stages.attend(
            features.top,
            recalled_maps,
            self._stages.map_positions[maps[:, 1::2]],
            recalled_pointers,
            pointers[:, 1::2].float(),
            key_mask,
        )

    def _recent_slots(self, objects: list[ObjectMemory]) -> Tensor:
        """Take the slots for the current frame: ``int64 (B, 3)`` of row, map slot, pointer slot."""
        now, bank, selector = self._now, self._bank, self._selector
        return self._upload(
            [
                [
                    o.row,
                    *bank.recent_slots(
                        o, now, selector.maps_to_keep(o, now), selector.pointers_to_keep(o, now)
                    ),
                ]
                for o in objects
            ]
        )

    def _read_observations(self) -> None:
        """Bring the last frame's observations to the host: late, when the GPU is done with them."""
        for objects, values in self._unread:
            for memory, observed in zip(objects, values.tolist(), strict=True):
                if self._now in memory.maps:
                    memory.seen[self._now] = Observation(*observed)
        self._unread.clear()

    # Prompts --------------------------------------------------------------------------------------

    def _start(self, prompts: Sequence[EnginePrompt], features: FrameFeatures) -> Propagation:
        """Make the current frame, seen without memory, a conditioning frame; all prompts are of one kind."""
        with self._stages.autocast():
            answer = decode_prompts(self._stages, prompts, features, self._video_size)
        return self._anchor(prompts, features, answer)

    def _correct(
        self, clicks: PointPrompt, features: FrameFeatures, fused: Tensor, before: Tensor | None
    ) -> Propagation:
        """Refine what was found of one object in the current frame; None where it is out of sight."""
        if before is None:
            return self._start([clicks], features) if (clicks.labels == 1).any() else self._nothing()
        with self._stages.autocast():
            answer = refine(self._stages, clicks, features, self._video_size, fused, before)
        return self._anchor([clicks], features, answer)

    def _anchor(
        self, prompts: Sequence[EnginePrompt], features: FrameFeatures, answer: Answer
    ) -> Propagation:
        """Make the current frame a conditioning frame of the objects that were prompted."""
        masks, ious, pointers, scores = answer
        masks = self._tidy(masks) if prompts[0].num_points else masks
        with self._stages.autocast():
            maps = self._stages.remember(features.top, masks, scores, prompted=True)
        slots = self._upload([self._conditioning_slot(prompt.obj_id) for prompt in prompts])
        self._bank.write(slots[:, 0], slots[:, 1], slots[:, 1], maps, pointers)
        self._selector.reserve(self._bank.capacity)
        self._selector.restart(slots[:, 0])
        obj_ids = [prompt.obj_id for prompt in prompts]
        return Propagation(obj_ids, masks, scores.float().flatten(), ious, self._video_size)

    def _conditioning_slot(self, obj_id: int) -> tuple[int, int]:
        """Row and slot for the current frame of an object, which may be new."""
        memory = self._objects.get(obj_id)
        if memory is None:
            memory = self._objects[obj_id] = ObjectMemory(obj_id, self._bank.take_row())
        memory.forget_recent(self._now)
        return memory.row, self._bank.conditioning_slot(memory, self._now)

    # Small parts ----------------------------------------------------------------------------------

    def _tidy(self, masks: Tensor) -> Tensor:
        return keep_large_regions(masks, self._min_region) if self._min_region else masks

    def _batches(self, items: list[T]) -> Iterator[list[T]]:
        """At most ``max_batch`` at a time."""
        return (items[i : i + self._max_batch] for i in range(0, len(items), self._max_batch))

    def _upload(self, values: Sequence[object]) -> Tensor:
        """Small host tables to the device; from pinned memory, so that the host does not wait for the GPU."""
        return torch.tensor(values, pin_memory=self._device.type == "cuda").to(
            self._device, non_blocking=True
        )

    def _nothing(self) -> Propagation:
        side = self._stages.image_size // 4
        empty = torch.zeros(0, device=self._device)
        return Propagation([], empty.reshape(0, 1, side, side), empty, empty, self._video_size)
