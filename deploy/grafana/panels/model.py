"""The dashboard *Model*: digits, confidence, rejects and image warnings."""

from __future__ import annotations

from panels.panel import Panel
from panels.promql import mean, rate, shares, total

_OK = 'outcome="ok"'
MODEL = {
    "Answers": [
        Panel(
            "Version",
            "Servers by model version. More than one line means that servers use different models.",
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
            "Share of each digit. A shift means other input or another model.",
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
            "New versions, swapped in or refused.",
            {"{{outcome}}": rate("inkstream_model_swaps_total", "outcome")},
            "cps",
        ),
        Panel(
            "Refused versions",
            "Processes that refused the version that their store names, and answer with another.",
            {"{{instance}}": total("inkstream_model_refused", "instance")},
        ),
    ],
    "Confidence": [
        Panel(
            "Confidence",
            "Calibrated: of answers with 0.9, nine in ten are right on writing like that of the test sets.",
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
    "Input of devices": [
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
            "Warnings by kind",
            "Share of recognised items whose image was prepared wrongly.",
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
