"""What will be made, known and refused before a pixel is read: requests, grids, tiles, memory."""
