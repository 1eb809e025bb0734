"""The dashboard *Model*: what is answered, how sure it is, and which input is odd."""

from __future__ import annotations

from panels.panel import Panel
from panels.promql import mean, rate, shares, total

_OK = 'outcome="ok"'
MODEL = {
    "What is answered": [
        Panel(
            "Version",
            "Servers by what they answer with; more than one line: they answer with different models.",
            {
                "{{name}}/{{version}} {{engine}}": total(
                    "inkstream_model_info", "name, version, engine"
                )
            },
            "short",
            "stat",
        ),
        Panel(
            "Digits",
            "Share of each digit; a shift is other input, or another model.",
            {
                "{{digit}}": shares(
                    rate("inkstream_predictions_total", "digit"),
                    rate("inkstream_predictions_total"),
                )
            },
            "percentunit",
            "stacked",
            1,
        ),
        Panel(
            "Model changes",
            "New versions, taken or refused.",
            {"{{outcome}}": rate("inkstream_model_swaps_total", "outcome")},
            "cps",
        ),
        Panel(
            "Kept from the version wanted",
            "Processes that answer with another version than their store wants, which was refused.",
            {"{{instance}}": total("inkstream_model_refused", "instance")},
        ),
    ],
    "How sure it is": [
        Panel(
            "Confidence",
            "Calibrated: of answers with 0.9, nine in ten are right, on writing like that of the tests.",
            {"{{le}}": rate("inkstream_confidence_bucket", "le")},
            "percentunit",
            "heatmap",
        ),
        Panel(
            "Mean confidence",
            "Falls when devices prepare images differently.",
            {"mean": mean("inkstream_confidence")},
            "percentunit",
            most=1,
        ),
    ],
    "Works on MNIST, fails on my device": [
        Panel(
            "Rejected, by reason",
            "Share of recognised items.",
            {
                "{{reason}}": shares(
                    rate("inkstream_rejects_total", "reason"),
                    rate("inkstream_items_total", labels=_OK),
                )
            },
            "percentunit",
        ),
        Panel(
            "Warned, by what is odd",
            "Share of recognised items: how the images were prepared.",
            {
                "{{warning}}": shares(
                    rate("inkstream_warnings_total", "warning"),
                    rate("inkstream_items_total", labels=_OK),
                )
            },
            "percentunit",
        ),
    ],
}
