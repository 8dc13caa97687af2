"""Videos and folders of images: found, read, drawn into and written."""
