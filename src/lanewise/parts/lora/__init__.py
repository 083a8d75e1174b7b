"""Low-rank adapters (LoRA): put into a model, merged into it, and saved as PEFT reads them."""

from lanewise.parts.lora.insert import lora
from lanewise.parts.lora.merge import merge_lora
from lanewise.parts.lora.save import save_lora

__all__ = ["lora", "merge_lora", "save_lora"]
