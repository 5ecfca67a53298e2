"""Several trainings of one architecture as a single one, with stacked parameters."""
