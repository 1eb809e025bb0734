"""Shows figures as tables, JSON and pictures, and names the machine. Measures nothing."""
