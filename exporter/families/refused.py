"""Model types that are refused with a reason: what they need that this transformer does not have."""

from __future__ import annotations

_REASONS = {
    "its layers carry a matrix memory with exponential gates (mLSTM)": "xlstm",
    "its Mamba layers run beside one block that layers share, which reads the embeddings again": "zamba",
    "its Mamba 2 layers run beside blocks that layers share, each with adapters of its own": "zamba2",
    "its layers carry the state of lightning attention, whose heads decay at fixed rates": "minimax",
    "its delta attention (KDA) decays every channel of a key at a rate of its own": """
        bailing_hybrid glm5_next_text kimi_linear
    """,
    "its gated delta nets stand beside embeddings of n-grams and a residual stream of several parts": """
        qwen4_exp_text
    """,
    "its projections of gated delta nets are stored in one tensor, and its routers compute in float32 beside "
    "rounded weights": "lara_mini",
    "its keys, values and branches each pass a short convolution with a state": "inkling_text",
    "its keys and values pass short convolutions, some of whose taps are computed for every token": """
        inkling2_text
    """,
    "its keys and values pass short convolutions, and its layers run several times over in loops": """
        inkling2_loop inkling2_loop_text
    """,
    "its queries and keys pass convolutions, and half of each value is that of the token before": "zaya",
    "it reads an image with every text: its class writes nothing to text alone": """
        blip-2 instructblip instructblipvideo
    """,
    "it reads sound with every text: its class writes nothing to text alone": "voxtral_realtime",
    "it reads sound with every token of its text": "kyutai_speech_to_text moshi",
    "it reads or writes speech": "speecht5",
    "it reads sound and writes notes": "pop2piano",
    "it reads its prompts in both directions": "paligemma",
    "it judges images and texts, and writes none": "shieldgemma2",
    "its text model is none of those that are built, and images are tokens of its vocabulary": """
        chameleon emu3
    """,
    "its layers that look at an image alone stand among the others": "idefics mllama",
    "its layers that look at a protein alone stand among the others": "evolla",
    "its decoder looks at what an encoder of images gives": "blip pix2struct pp_formulanet trocr",
    "its encoder reads boxes and images beside text": "udop",
    "its text model has an encoder (Bart's), and such are read from configs of their own alone": "florence2",
    "it writes sound beside text; its thinker alone, saved as a model of its own, is supported": """
        qwen2_5_omni qwen3_omni_moe
    """,
    "it writes sound": "dia musicgen musicgen_melody vibevoice",
    "it writes the actions of a robot": "pi0",
    "it writes blocks of tokens by diffusion": "diffusion_gemma",
    "it reads images, sound or video beside text, and its text model is not built either": """
        git glm5_next inkling2 inkling_mm_model kosmos-2 kosmos-2.5 molmo2 qwen4_exp
    """,
    "its experts of text stand beside experts of images, and its text model is not built": "ernie4_5_vl_moe",
    "it norms embeddings, queries and keys by nothing learned and gates what attention reads, and its text "
    "model is not built": "muse_glimmer",
    "its residual stream is mixed by learned gates, and its experts read and write a narrower one": """
        muse_spark
    """,
    "its layers have other numbers of heads, and clamp what their blocks multiply": "step3p7",
    "its cache keeps a prompt, and of what it writes a window": "unlimited_ocr",
    "its checkpoints keep experts as NeMo does, which is not read": "nemo_speechlm",
    "its latent attention comes with parts that this exporter does not build (an indexer that chooses keys, "
    "layers of two attentions, experts that do nothing)": """
        axk2 deepseek_v32 deepseek_v4 dots3_note dots3_note_text glm_moe_dsa hy_v4 hy_v4_vl longcat_flash
    """,
    "it is an encoder; used as a decoder (is_decoder) it is not built": """
        albert bert bert-generation big_bird camembert convbert data2vec-text deberta deberta-v2
        distilbert electra ernie megatron-bert modernbert mpnet rembert roberta roberta-prelayernorm
        roc_bert roformer xlm-roberta xlm-roberta-xl xmod
    """,
    "it reads its text in an order of its own (permutation or both directions)": "xlm xlnet",
    "its branches are added with weights that fall with depth": "beam",
    "its attention is gated with a softplus, layer by layer with other numbers of heads": "laguna",
    "its router adds its corrections to logits, not to scores": "kolibri1",
    "its class in the reference turns heads by another base than the rope_theta of its checkpoints": "dbrx",
    "its attention chooses keys, or blocks of them, by an index that it has learned": """
        minimax_m3_vl minimax_m3_vl_text mistral_large4
    """,
    "it drafts tokens for another model and writes none of its own": """
        gemma4_assistant gemma4_unified_assistant
    """,
    "its layers run several times over in loops": "dory hrm_text",
    "its attention masks keys by scores that it has learned": "doge",
    "its attention hashes its keys": "reformer",
    "its input is bytes, joined to patches of learned lengths": "blt",
    "its positions come from segments and from a prompt that it has learned": "cpmant",
    "its linear layers are ternary and round their input": "bitnet",
}

REFUSED: dict[str, str] = {
    model_type: reason for reason, model_types in _REASONS.items() for model_type in model_types.split()
}

_BY_CODE = "its code is its checkpoints' own (trust_remote_code), and transformers has no class for it"
#: Types that the reference does not register, and whose checkpoints bring code, which is never run.
REMOTE: dict[str, str] = {
    **dict.fromkeys(
        """
        Yi aquila baichuan chatglm decilm internlm internlm2 minicpm minicpm4 orion phi-msft qwen
        RefinedWeb RefinedWebModel skywork telechat xverse
        """.split(),  # noqa: SIM905
        _BY_CODE,
    ),
    "Yi": f"{_BY_CODE}; the later releases of Yi are of type 'llama'",
    "RefinedWeb": f"{_BY_CODE}; the later releases of Falcon are of type 'falcon'",
    "RefinedWebModel": f"{_BY_CODE}; the later releases of Falcon are of type 'falcon'",
    "internlm2": f"{_BY_CODE}; its publisher converts it to Llama's names and type (convert2llama.py)",
    "phi-msft": f"{_BY_CODE}; the later releases of Phi are of type 'phi'",
    "qwen": f"{_BY_CODE}; Qwen1.5 and later are of type 'qwen2'",
}
