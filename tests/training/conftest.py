import pytest
import torch

from evqa.config.model import LoraConfig
from evqa.models.load import attach_adapter


@pytest.fixture
def adapted(tiny_base):
    """A model whose adapter does something, in training mode."""
    torch.manual_seed(5)
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, dropout=0.0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.train()
    return model
