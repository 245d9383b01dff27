"""What the published models are asked: languages, code, text that is hard to cut into tokens, and chats."""

from __future__ import annotations

import itertools

#: By the language's name in English.
LANGUAGES = {
    "English": (
        "The capital of France is",
        "Once upon a time there was a small robot who",
        "Water boils at 100 degrees because",
        "1, 1, 2, 3, 5, 8, 13,",
    ),
    "German": ("Die Hauptstadt von Deutschland ist",),
    "French": ("Il était une fois une petite fille qui",),
    "Spanish": ("El agua hierve a cien grados porque",),
    "Portuguese": ("A capital do Brasil é",),
    "Russian": ("Столица России — это",),
    "Japanese": ("日本の首都は",),
    "Chinese": ("中国的首都是",),
    "Korean": ("대한민국의 수도는",),
    "Arabic": ("عاصمة مصر هي",),
    "Hindi": ("भारत की राजधानी",),
    "Vietnamese": ("Thủ đô của Việt Nam là",),
    "Greek": ("Η πρωτεύουσα της Ελλάδας είναι",),
}
#: Programming and data formats.
FORMATS = {
    "Python": 'def fibonacci(n):\n    """The n-th number."""\n',
    "C": "#include <stdio.h>\n\nint main(void) {\n\tprintf(",
    "SQL": "SELECT name, COUNT(*) FROM orders\nWHERE",
    "JSON": '{"name": "Ada", "born": 1815, "languages": [',
    "Markdown": "| city | country |\n|---|---|\n| Paris |",
}
PROMPTS = (
    *itertools.chain(*LANGUAGES.values()),
    *FORMATS.values(),
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
    "  two spaces in front, and a tab\there;\r\n",
    "🙂 means happy, 👩‍👩‍👧 means",
)

#: (user, system) of chats; each with its template fits the length bucket of 64 tokens.
CHATS = (
    ("What is the capital of France?", ""),
    ("Write one sentence about the sea.", "You are a poet."),
    ("Name three colours.", ""),
    ("2 + 2 = ?", "Answer with a number only."),
    ("Erzähle mir etwas über Berlin.", ""),
    ("¿Cuál es la capital de España?", "Responde en español."),
    ("def add(a, b):\n    return", "Complete the code."),
    ("  Hello!\n", " "),
    ("日本の首都は?", ""),
    ("🙂", "Say what the emoji means."),
    ("List the planets.", ""),
    ("Is water wet? Answer yes or no.", ""),
)
