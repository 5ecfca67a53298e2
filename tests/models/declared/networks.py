"""Networks of a user, for tests of declared networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Own(nn.Module):
    """Calls functions and modules, has a bare parameter and a non-persistent buffer; takes [batch, 1, 8, 8]."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 1.5))
        self.register_buffer("shift", torch.linspace(-1, 1, 4).view(4, 1, 1), persistent=False)
        self.act = nn.SiLU()
        self.fc = nn.Linear(64, 16)
        self.out = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x))) * self.scale + self.get_buffer("shift")
        x = F.adaptive_avg_pool2d(x, 4).flatten(1)
        x = F.dropout(self.act(self.fc(x)), 0.1, self.training)
        logits: Tensor = self.out(x)
        return logits


class Block(nn.Module):
    """A residual block that calls one ReLU twice, in place, and drops its branch at random in train mode."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.first(x)))
        if self.training:
            y = y * x.new_empty(x.shape[0], 1).bernoulli_(0.8)
        x = x + y
        activated: Tensor = self.relu(x)
        return activated


class Odd(nn.Module):
    """A layer of its own kind, constants, a module used twice, an export that has to fold, and a dict as output."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 64) / 8)
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.linear(x.flatten(1), self.weight)
        x = self.blocks(x) + torch.arange(16, device=x.device) * torch.tensor(0.01)
        x = self.attention(x[:, None], x[:, None], x[:, None], need_weights=False)[0][:, 0]
        return {"features": x, "logits": self.head(F.softsign(F.gelu(x, approximate="tanh")))}
