"""Where replays come from: the catalogue, downloads, and what is inside archives."""
