"""Find and load plugins: listing imports none of them, a broken one harms nobody else."""
