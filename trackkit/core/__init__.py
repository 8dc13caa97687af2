"""What every room stands on: errors, options, arrays, boxes, masks, frames, prompts, tasks, files."""
