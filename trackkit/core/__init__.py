"""What every room stands on: errors, arrays, boxes, masks, frames, prompts, tasks, files."""
