"""Real tiny models, made in memory and written as folders that `luthier.model.model.load` reads.

Each is the true architecture with a true tokenizer, only small: a Llama-type decoder with grouped heads and tied
embeddings (with and without a chat template), a GPT-2 (absolute positions), a tied and an untied T5, and a BART that
scales its embeddings and carries a bias behind its output layer. Weights are random but wide, so that answers differ
from prompt to prompt.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from luthier.model.model import Model, load
from luthier.model.quiet import quiet
from luthier.records import Example, Prompt

torch.set_num_threads(1)

SENTENCES = (
    "Anna: Can we move the dentist to Friday at nine?",
    "Reception: Friday is full, but Monday at half past eight is free.",
    "Anna: Monday is fine, thank you. Please send me a reminder.",
    "Anna moves her appointment to Monday at half past eight and wants a reminder.",
    "Tom forgot the tickets at home and asks Lea to bring 45 euros to the station.",
    "Summarize the following conversation. What was going on? Say it in one sentence.",
)
PLAIN = "Summarize the following conversation.\n\n{input}"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DECODERS = ("decoder-chat", "decoder-plain", "gpt2")
ENCODER_DECODERS = ("t5-tied", "t5-untied", "bart")
ENCODERS = ("bert",)
KINDS = (*DECODERS, *ENCODER_DECODERS)  # those that write
LABELS = ("calm", "very calm", "worried")


def tokenizer(*, chat: bool = False, ends_prompts: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer. `ends_prompts` puts the end token behind every text, as T5's and BART's do.

    <filename> is a control token that no named role refers to, as SmolLM2 has a dozen.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    specials = ["<pad>", "</s>", "<|im_start|>", "<|im_end|>", "<filename>"]
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(SENTENCES, trainer)
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    if ends_prompts:
        raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")
    if chat:
        made.chat_template = CHAT_TEMPLATE
    return made


# How much wider than usual embeddings and inner matrices are: narrow ones would repeat the last token for ever.
_EMBEDDINGS = ("embed", "shared", "wte", "wpe")
_WIDER = {
    "decoder-chat": (6.0, 25.0),
    "decoder-plain": (6.0, 25.0),
    "gpt2": (6.0, 25.0),
    "t5-tied": (1.0, 3.0),
    "t5-untied": (1.0, 1.0),
    "bart": (6.0, 25.0),
    "bert": (6.0, 25.0),
}


def module(kind: str, vocabulary: int = 380) -> nn.Module:
    """The random-weight module of a kind; the same weights every time."""
    torch.manual_seed((*KINDS, *ENCODERS).index(kind))
    made = _ARCHITECTURES[kind](vocabulary)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(_WIDER[kind][0 if any(word in name for word in _EMBEDDINGS) else 1])
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
        for name, buffer in made.named_buffers():
            if name == "final_logits_bias":
                buffer.copy_(torch.randn_like(buffer) * 0.3)
    return made.eval()


def _llama(vocabulary: int) -> nn.Module:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        )
    )


def _gpt2(vocabulary: int) -> nn.Module:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=512,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            resid_pdrop=0.1,
            embd_pdrop=0.1,
            attn_pdrop=0.1,
        )
    )


def _t5(tied: bool, vocabulary: int) -> nn.Module:
    """transformers builds every T5 tied; a checkpoint with two matrices, as FLAN-T5's, makes it untied."""
    made = T5ForConditionalGeneration(
        T5Config(
            vocab_size=vocabulary,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.1,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=tied,
            decoder_start_token_id=0,
            eos_token_id=1,
            n_positions=512,
        )
    )
    if not tied:
        made.lm_head.weight = nn.Parameter(torch.randn(vocabulary, 32) * 0.3)
    return made


def _bart(vocabulary: int) -> nn.Module:
    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=vocabulary,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            max_position_embeddings=256,
            scale_embedding=True,
            dropout=0.1,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=1,
            decoder_start_token_id=1,
            forced_eos_token_id=None,
        )
    )


def _bert(vocabulary: int) -> nn.Module:
    return BertModel(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=256,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
            pad_token_id=0,
        )
    )


_ARCHITECTURES: dict[str, Any] = {
    "decoder-chat": _llama,
    "decoder-plain": _llama,
    "gpt2": _gpt2,
    "t5-tied": lambda vocabulary: _t5(True, vocabulary),
    "t5-untied": lambda vocabulary: _t5(False, vocabulary),
    "bart": _bart,
    "bert": _bert,
}


def save(kind: str, folder: Path) -> Path:
    """The folder with the tiny model of a kind."""
    made = tokenizer(chat=kind == "decoder-chat", ends_prompts=kind not in DECODERS)
    with quiet():
        module(kind, len(made)).save_pretrained(folder)
        made.save_pretrained(folder)
    if kind in ENCODERS:  # as sentence encoders are: their vectors are means over tokens
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def save_with_sentinels(folder: Path) -> Path:
    """The folder with a tiny T5 whose tokenizer has T5's sentinels, so that it can hide spans."""
    made = tokenizer(ends_prompts=True)
    made.add_special_tokens({"additional_special_tokens": [f"<extra_id_{n}>" for n in range(64)]})
    with quiet():
        module("t5-tied", len(made)).save_pretrained(folder)
        made.save_pretrained(folder)
    return folder


def save_gguf(path: Path) -> Path:
    """The tiny decoder as a GGUF file, as a package holds a model.

    Its control token is named <|endoftext|>: transformers reads a byte-level GGUF as GPT-2's tokenizer, which adds that
    token where the file has none, and then the model has no embedding for it.
    """
    from gguf import GGUFWriter

    made, words = module("decoder-chat"), tokenizer(chat=True)
    config, model = made.config, json.loads(words.backend_tokenizer.to_str())["model"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_token_list(["<|endoftext|>" if token == "<filename>" else token for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers": "blk",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for name, weight in made.state_dict().items():
        if name == "lm_head.weight":  # tied to the embeddings
            continue
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, weight.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def fresh(folder: Path, precision: str = "fp32") -> Model:
    """The model of a folder on the CPU, as loaded anew: a copy, because reading a file for every test takes longer."""
    loaded = _loaded(str(folder), precision)
    return replace(loaded, module=copy.deepcopy(loaded.module), tokenizer=copy.deepcopy(loaded.tokenizer))


@functools.cache
def _loaded(folder: str, precision: str) -> Model:
    return load(folder, precision=precision, device="cpu", labels=LABELS if Path(folder).name in ENCODERS else ())


def examples(count: int, *, prefix: str = "e") -> list[Example]:
    """Dialogues of very different lengths, each with a reference."""
    made = []
    for i in range(count):
        turns = [SENTENCES[(i + k) % 3] + f" ({i}.{k})" for k in range(1 + (i * 5) % 7)]
        made.append(Example(f"{prefix}{i}", "\n".join(turns), (f"{SENTENCES[3 + i % 2]} No. {i}.",), row=i + 1))
    return made


def labelled(count: int) -> list[Example]:
    """The same dialogues, each with a label."""
    return [replace(example, references=(LABELS[i % 3],)) for i, example in enumerate(examples(count))]


def train_prompts(model: Model, count: int) -> list[Prompt]:
    rows = labelled(count) if model.family == "encoder" else examples(count)
    return [model.renderer.prompt(example, PLAIN, train=True) for example in rows]


def scramble(module: nn.Module, seed: int = 0, scale: float = 0.3) -> None:
    """Random values in every parameter that may move, so that an adapter is far from doing nothing."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(module.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=dice).to(parameter) * scale)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter by name."""
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def reference_loss(module: nn.Module, prompt: Prompt, family: str, virtual: int = 0) -> torch.Tensor:
    """The summed loss of one row, the plain way: unpadded, every logit, labels shifted by hand."""
    if family == "encoder":
        ids = torch.tensor([prompt.prompt_ids])
        logits = module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return nn.functional.cross_entropy(logits.float(), torch.tensor([prompt.label]), reduction="sum")
    target = torch.tensor([prompt.target_ids])
    if family == "decoder":
        ids = torch.tensor([[*prompt.prompt_ids, *prompt.target_ids]])
        logits = module(input_ids=ids, use_cache=False).logits[:, virtual:]
        said = logits[:, len(prompt.prompt_ids) - 1 : -1]
    else:
        ids = torch.tensor([prompt.prompt_ids])
        start = torch.tensor([[module.config.decoder_start_token_id]])
        said = module(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            decoder_input_ids=torch.cat([start, target[:, :-1]], 1),
            use_cache=False,
        ).logits
    return nn.functional.cross_entropy(said[0].float(), target[0], reduction="sum")


def slow_greedy(module: nn.Module, prompt_ids: Sequence[int], family: str, limit: int, end_ids: Any) -> list[int]:
    """Greedy tokens by one whole forward pass each: no cache, no padding, no batch."""
    ids = torch.tensor([list(prompt_ids)])
    said: list[int] = []
    while len(said) < limit and not (said and said[-1] in end_ids):
        with torch.no_grad():
            if family == "decoder":
                whole = torch.tensor([[*prompt_ids, *said]])
                logits = module(input_ids=whole, use_cache=False).logits
            else:
                written = torch.tensor([[module.config.decoder_start_token_id, *said]])
                mask = torch.ones_like(ids)
                logits = module(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False).logits
        said.append(int(logits[0, -1].argmax()))
    return said
