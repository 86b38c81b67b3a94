//! Recipe to run: schedules, the training loop, checkpoints and journals.
