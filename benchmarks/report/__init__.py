"""Shows figures: tables, JSON, pictures, and the machine they come from. Measures nothing."""
