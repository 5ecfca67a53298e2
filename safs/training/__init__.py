"""Training under masks: sessions, optimizers, schedules, evaluation."""
