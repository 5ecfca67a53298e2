"""The section ``train`` of a job spec, and the training recipe that other sections hold."""

from safs.spec.fields import Epochs, Name, Section, filled


class Recipe(Section):
    """A training recipe: optimizer, hyperparameters and learning-rate schedule."""

    optimizer: Name = filled("adam")
    """Name in the optimizers registry. If left out, the preset decides; ``adam`` unless it names another one."""
    learning_rate: float = filled(1e-3, gt=0, le=100)
    """Initial learning rate. If left out, the preset decides; 1e-3 unless it names another one."""
    weight_decay: float = filled(0.0, ge=0, le=1)
    """Weight decay, never applied to operators' scalars, norms and biases. If left out, the preset decides; else 0."""
    momentum: float = filled(0.9, ge=0, lt=1)
    """Momentum of SGD; other optimizers keep their library's betas. If left out, the preset decides; else 0.9."""
    nesterov: bool = filled(False, strict=True)
    """True if SGD uses Nesterov momentum; other optimizers ignore it. If left out, the preset decides; else false."""
    schedule: Name = filled("constant")
    """Learning-rate schedule. If left out, the preset decides; ``constant`` unless it names another one."""


class TrainSpec(Recipe):
    """Dense training if no weights are given, and the default protocol's recipe after pruning."""

    epochs: Epochs = filled(30)
    """Epochs of the dense training. If left out, the preset decides."""
