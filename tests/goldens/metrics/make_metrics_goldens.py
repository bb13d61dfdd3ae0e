#!/usr/bin/env python3
"""Writes metrics.json: texts and what the usual packages say of them.

    make_metrics_goldens.py GSM8K_TRAIN.jsonl

The texts are solutions of GSM8K (Cobbe et al. 2021; MIT License, Copyright (c) 2021 OpenAI), as
predictions with words dropped, changed or exchanged for another problem's. The values are those of
sacrebleu, rouge-score, NLTK's stemmer, scikit-learn and torchmetrics (SQuAD).
"""
import json
import pathlib
import random
import re
import statistics
import sys

import numpy as np
import sacrebleu
import torch
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.functional.text import squad

PAIRS = 200
STEMS = 2500
ROUGE_TYPES = ["rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rougeL", "rougeLsum"]
SMOOTHING = [("exp", None), ("floor", None), ("floor", 0.01), ("add-k", None), ("add-k", 0.5),
             ("none", None)]
CORNERS = [
    ("", ["something"]), ("something", [""]), ("", [""]), ("one", ["one"]),
    ("the the the the", ["the cat", "the the mat"]),
    ("It cost $1,000.50, i.e. 3-4 times \u20ac20.", ["It cost 1,000.50 $, ie. 3 - 4 times 20 \u20ac"]),
    ("\u201cHello\u201d \u2013 he said\u2026 no.1 , no. 2!", ["\"Hello\" - he said... no.1, no.2"]),
    ("&quot;a&quot; &amp; b&lt;c&gt; <skipped>end-\nof line\nnext", ["\"a\" & b<c> endof line next"]),
    ("\u4f60\u597d\uff0c\u4e16\u754c\u3002\u8fd9\u662f2.5\u4e2a", ["\u4f60\u597d \u4e16\u754c\u3002\u8fd9\u662f 2.5 \u4e2a"]),
    ("caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u212b \u212a \u0130stanbul", ["cafe\u0301 naive \u00e5ngstr\u00f6m k istanbul"]),
    ("tabs\tand\u00a0no-break\u2003spaces\u001cfs \u3000", ["tabs and no-break spaces fs"]),
    ("\u0394\u03bf\u03ba\u03b9\u03bc\u03ae \u00bd \u0663 \u2167 + \u00d7 \u00f7", ["\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae \u00bd \u0663 \u2167 x /"]),
    ("A man, an apple; the \u201ca\u201d-team", ["man apple team", "the man the apple \u201c \u201d team"]),
    ("The cats ran.\n\nThe dogs were running.\n", ["The dogs ran.\nA cat was running fast.", "cats\ndogs"]),
    ("a b c d e f a b c", ["c b a f e d\na b c a b c", "f e d c b a"]),
    ("x" * 40 + " yyyyyyy syzygy 20ths", ["x" * 40 + " yyyyyyi syzygi 20th"]),
]
SUFFIX_WORDS = """caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated
troubled sized hopping tanned falling hissing fizzed failing filing happy sky enjoy relational
conditional rational valenci hesitanci digitizer conformabli radicalli differentli vileli analogousli
vietnamization predication operator feudalism decisiveness hopefulness callousness formaliti
sensitiviti sensibiliti triplicate formative formalize electriciti electrical hopeful goodness revival
allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment
dependent adoption homologou communism activate angulariti homologous effective bowdlerize probate
rate cease controll roll dying lying tying skies innings outings cannings howe proceed exceed succeed
news died flies tried spied spy fly geologi archaeologi theology hopefulli really generally oed ing
eed ies sses aied eying owed used bing bed yy yyyy yes yield toy syzygy 20ths 1970s a1b2ed""".split()


def solutions(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield re.sub(r"<<.*?>>", "", json.loads(line)["answer"]).replace("####", "Answer:")


def changed(text, other, kind, rng):
    words = text.split(" ")
    if kind == 0:
        return " ".join(word for word in words if rng.random() > 0.15)
    if kind == 1:
        return other
    if kind == 2:
        changes = [word if rng.random() > 0.2 else rng.choice(other.split(" ")) for word in words]
        return " ".join(changes[:rng.randrange(5, 60)])
    return re.sub(r"\d", lambda m: str(rng.randrange(10)), text).upper().replace(",", " -")


def make_pairs(path, rng):
    texts = [text for text in solutions(path) if len(text) < 260]
    rng.shuffle(texts)
    pairs = []
    for i in range(PAIRS):
        text, other = texts[2 * i], texts[2 * i + 1]
        lines = text.split("\n")
        pairs.append((changed(text, other, i % 4, rng), [text, "\n".join(lines[-2:])]))
    return pairs


def bleu_case(pairs, name, count, tokenizer, smoothing, value, order):
    hypotheses = [prediction for prediction, _ in pairs]
    streams = [[refs[i] if i < len(refs) else None for _, refs in pairs] for i in range(count)]
    common = {"tokenize": tokenizer, "smooth_method": smoothing, "smooth_value": value,
              "max_ngram_order": order}
    corpus = sacrebleu.metrics.BLEU(**common).corpus_score(hypotheses, streams)
    sentence = sacrebleu.metrics.BLEU(effective_order=True, **common)
    scores = [sentence.sentence_score(p, refs[:count]).score for p, refs in pairs]
    expected = {"bleu": corpus.score, "bleu_macro": statistics.fmean(scores),
                "brevity_penalty": corpus.bp, "hypothesis_length": corpus.sys_len,
                "reference_length": corpus.ref_len}
    expected.update({f"precision_{i + 1}": p for i, p in enumerate(corpus.precisions)})
    options = {"tokenizer": tokenizer, "smoothing": smoothing, "max_order": order}
    if value is not None:
        options["smooth_value"] = value
    return {"set": name, "references": count, "options": options, "expected": expected}


def bleu_cases(sets):
    cases = []
    for name, pairs in sets.items():
        for tokenizer in ("13a", "intl", "char", "none"):
            cases.append(bleu_case(pairs, name, 2, tokenizer, "exp", None, 4))
        for smoothing, value in SMOOTHING:
            cases.append(bleu_case(pairs, name, 1, "13a", smoothing, value, 4))
        cases.append(bleu_case(pairs, name, 2, "13a", "exp", None, 2))
        cases.append(bleu_case(pairs[:3], name, 1, "13a", "none", None, 8))
        cases[-1]["samples"] = 3
    return cases


def rouge_cases(sets):
    cases = []
    for name, pairs in sets.items():
        for stemmer in (False, True):
            for count in (1, 2):
                scorer = RougeScorer(ROUGE_TYPES, use_stemmer=stemmer)
                scores = [scorer.score_multi(refs[:count], p) for p, refs in pairs]
                expected = {}
                for kind in ROUGE_TYPES:
                    for short, field in (("p", "precision"), ("r", "recall"), ("f", "fmeasure")):
                        values = [float(getattr(score[kind], field)) for score in scores]
                        expected[f"{kind}_{short}"] = statistics.fmean(values)
                cases.append({"set": name, "references": count, "expected": expected,
                              "options": {"types": ROUGE_TYPES, "stemmer": stemmer}})
    return cases


def exact_match_cases(sets):
    cases = []
    for name, pairs in sets.items():
        predictions = [{"prediction_text": p, "id": str(i)} for i, (p, _) in enumerate(pairs)]
        targets = [{"answers": {"answer_start": [0] * len(refs), "text": refs}, "id": str(i)}
                   for i, (_, refs) in enumerate(pairs)]
        both = squad(predictions, targets)
        expected = {"exact_match": both["exact_match"].item() / 100,
                    "token_f1": both["f1"].item() / 100}
        cases.append({"set": name, "references": 2, "options": {"normalization": "squad"},
                      "expected": expected})
        exact = statistics.fmean(float(p in refs) for p, refs in pairs)
        cases.append({"set": name, "references": 2, "options": {},
                      "expected": {"exact_match": exact}})
    return cases


def classification_cases(rng):
    labels = [rng.choice([0, 0, 0, 1, 2, 3, 5, 6]) for _ in range(400)]
    predicted = [label if rng.random() < 0.6 else rng.randrange(8) for label in labels]
    cases = []
    for tags in (None, [f"tag{i}" for i in range(10)]):
        for average in ("macro", "micro", "weighted"):
            for beta in (0.5, 1.0, 2.0):
                common = {"beta": beta, "zero_division": 0,
                          "labels": list(range(10)) if tags else None}
                values = precision_recall_fscore_support(labels, predicted, average=average, **common)
                expected = dict(zip(("precision", "recall", "f_beta"), map(float, values)))
                each = precision_recall_fscore_support(labels, predicted, **common)
                names = tags or [str(label) for label in sorted(set(labels) | set(predicted))]
                for field, column in zip(("precision", "recall", "f_beta", "support"), each):
                    expected.update({f"{field}/{n}": float(v) for n, v in zip(names, column)})
                options = {"average": average, "beta": beta, "per_tag": True}
                if tags:
                    options["tags"] = tags
                cases.append({"options": options, "expected": expected})
    return {"labels": labels, "predicted": predicted, "cases": cases}


def accuracy_golden(rng):
    samples = []
    for _ in range(60):
        count = rng.randrange(2, 6)
        lengths = [rng.randrange(1, 30) for _ in range(count)]
        samples.append({"log_likelihoods": [-rng.random() * length for length in lengths],
                        "lengths": lengths, "label": rng.randrange(count)})
    scores = {"acc": 0, "acc_norm": 0}
    for sample in samples:
        values = np.array(sample["log_likelihoods"])
        scores["acc"] += int(np.argmax(values) == sample["label"])
        scores["acc_norm"] += int(np.argmax(values / sample["lengths"]) == sample["label"])
    return {"samples": samples,
            "expected": {name: value / len(samples) for name, value in scores.items()}}


def main():
    torch.set_default_dtype(torch.float64)  # torchmetrics computes in it
    rng = random.Random(4)
    pairs = make_pairs(sys.argv[1], rng)
    sets = {"pairs": pairs, "corners": CORNERS}
    words = sorted({word for text in solutions(sys.argv[1])
                    for word in re.findall("[a-z0-9]+", text.lower()) if len(word) > 3})
    stemmer = PorterStemmer()
    words = SUFFIX_WORDS + sorted(rng.sample(words, STEMS))
    golden = {
        "source": "GSM8K, Cobbe et al. 2021, MIT License, Copyright (c) 2021 OpenAI",
        "sets": {name: [{"prediction": p, "references": r} for p, r in texts]
                 for name, texts in sets.items()},
        "bleu": bleu_cases(sets),
        "rouge": rouge_cases(sets),
        "exact_match": exact_match_cases(sets),
        "classification": classification_cases(rng),
        "accuracy": accuracy_golden(rng),
        "stems": " ".join(f"{word}:{stemmer.stem(word)}" for word in words),
    }
    path = pathlib.Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(golden, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
