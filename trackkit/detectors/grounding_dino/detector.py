"""GroundingDINO through ``transformers``: boxes for whatever the prompt names, with nothing to compile.

Model: Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection",
https://arxiv.org/abs/2303.05499.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image, nms

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.errors import ConfigError
from trackkit.core.frames import Detections
from trackkit.detectors.grounding_dino.autocast import reduce_precision
from trackkit.detectors.grounding_dino.loading import load_model
from trackkit.detectors.grounding_dino.token_prompts import TokenPrompt, make_prompts
from trackkit.weights.precision import compute_dtype

logger = logging.getLogger(__name__)


# Two boxes of one class that overlap so far are one object; of two classes they must all but coincide, since
# a pizza and its plate, or a hand and its glove, are two things that the user asked for.
SAME_CLASS_IOU = 0.7
ANY_CLASS_IOU = 0.9


class GroundingDinoDetector:
    """Finds the classes of the prompt in images.

    The model gives one probability per box and token. ``transformers`` joins the tokens above the text
    threshold to a string such as ``"red cup red"``; here a label is always one of the user's classes:

    - A token counts for its class where its probability is above ``text_threshold``.
    - A class may name a box where one of its tokens is above ``box_threshold``, too.
    - Of these classes the one with the highest mean over its tokens names the box: with "red cup. red ball."
      the word "red" speaks for both, and the mean lets the other word decide.
    - The score is the highest probability of that class' tokens.

    So the thresholds mean what they mean in the reference implementation, and with one class (and a text
    threshold below the box threshold) the boxes and the scores are those of ``transformers``. Then duplicates
    are removed: of boxes of one class with an IoU above 0.7, and of any classes with an IoU above 0.9, the
    best stays.

    Args:
        model: ``GroundingDinoForObjectDetection``, float32, on its device.
        processor: Its ``GroundingDinoProcessor``.
        config: The classes, the thresholds and the dtype.

    Raises:
        PromptError: A class is too long, or of words that the model does not know (:func:`make_prompts`).
    """

    def __init__(self, model: Any, processor: Any, config: TrackConfig) -> None:
        self._model = model.eval()
        self._device: torch.device = model.device
        self._image_processor = processor.image_processor
        self._classes = config.classes
        self._box_threshold = config.box_threshold
        self._text_threshold = config.text_threshold
        self._dtype = compute_dtype(config.dtype, self._device)
        if self._dtype != torch.float32:
            reduce_precision(model.model, self._dtype)
        max_tokens = min(model.config.max_text_len, model.config.text_config.max_position_embeddings)
        self._prompts = make_prompts(config.classes, processor.tokenizer, max_tokens)
        if len(self._prompts) > 1:
            logger.info("%d classes take %d passes per image", len(config.classes), len(self._prompts))

    @classmethod
    def from_config(cls, config: TrackConfig, device: str) -> GroundingDinoDetector:
        """Load ``config.detector_model``, a folder, a ``.pth`` or a hub name, onto ``device``.

        Only tensors are read and no code of the checkpoint is run.

        Raises:
            CheckpointError: The weights are missing, cut, or of another model.
            PromptError: A class is too long, or of words that the model does not know (:func:`make_prompts`).
        """
        model, processor = load_model(config.detector_model)
        return cls(model.to(device), processor, config)

    def at_threshold(self, box_threshold: float) -> Self:
        """The same detector with another lowest score."""
        other = copy(self)
        other._box_threshold = box_threshold
        return other

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Detect in a batch of images.

        Args:
            images: RGB ``uint8 (H, W, 3)``, all of one size.

        Returns:
            One ``Detections`` per image, in order; boxes inside the image, best score first.

        Raises:
            ConfigError: The numbers overflowed, as fp16 can.
        """
        if not images:
            return []
        height, width = images[0].shape[:2]
        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2)
            # Scaled to the longest side that the model takes, a strip would be less than a pixel wide.
            least = math.ceil(max(height, width) / (self._image_processor.size["longest_edge"] or math.inf))
            pixels = pad(pixels, (0, max(0, least - width), 0, max(0, least - height)))
            shape = pixels.shape[2:]
            inputs = self._image_processor(
                list(pixels), input_data_format="channels_first", return_tensors="pt"
            )
            candidates = torch.cat([self._forward(inputs, prompt) for prompt in self._prompts], dim=1).cpu()
        if candidates.isnan().any():
            msg = (
                f"GroundingDINO gave NaN in {self._dtype}: use --dtype bf16 or fp32; "
                "where fp32 does it, too, the weights are damaged"
            )
            raise ConfigError(msg)
        return [self._select(table, shape, height, width) for table in candidates]

    def _forward(self, inputs: Any, prompt: TokenPrompt) -> torch.Tensor:
        """``float32 (B, queries, 6)``: box (cx, cy, w, h in 0..1), score (0: nothing), class index."""
        batch = len(inputs["pixel_values"])
        input_ids = torch.tensor(prompt.input_ids, device=self._device).expand(batch, -1)
        outputs = self._model(**inputs, input_ids=input_ids)
        tokens = outputs.logits.sigmoid()
        tokens = tokens.where(tokens > self._text_threshold, 0)
        best = torch.stack([tokens[..., span].amax(-1) for span in prompt.spans], -1)
        mean = torch.stack([tokens[..., span].mean(-1) for span in prompt.spans], -1)
        best = best.where(best > self._box_threshold, 0)
        label = mean.where(best > 0, 0).argmax(-1, keepdim=True)
        return torch.cat([outputs.pred_boxes, best.gather(-1, label), label + prompt.first], -1)

    def _select(self, candidates: torch.Tensor, shape: torch.Size, height: int, width: int) -> Detections:
        boxes, scores, labels = candidates[:, :4], candidates[:, 4], candidates[:, 5].long()
        boxes = box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([*shape[::-1]] * 2)
        boxes = clip_boxes_to_image(boxes, (height, width))
        keep = ((scores > 0) & (boxes[:, 2:] > boxes[:, :2]).all(-1)).nonzero()[:, 0]
        keep = keep[batched_nms(boxes[keep], scores[keep], labels[keep], SAME_CLASS_IOU)]
        keep = keep[nms(boxes[keep], scores[keep], ANY_CLASS_IOU)]
        names = tuple(self._classes[i] for i in labels[keep].tolist())
        return Detections(boxes[keep].numpy(), scores[keep].numpy(), names)
