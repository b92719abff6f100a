"""Models in other languages, as the services of the tests have them: globals of a module."""

from pathlib import Path
from typing import Final

from servicekit.ml import CommandModel
from tests.ml.python_model import MeansConfig

FOLDER: Final = Path(__file__).parent / "commands"

_PREDICT: Final = [
    "awk", "-v", "model={model_file}", "-v", "target={output_file}", "-f", "scripts/predict.awk", "{model_file}",
    "{future_file}",
]  # fmt: skip


def misbehaving(*deed: str) -> list[str]:
    return ["node", "scripts/misbehave.js", *deed]


means = CommandModel(
    train=["awk", "-v", "target={model_file}", "-f", "scripts/train.awk", "{data_file}"],
    predict=_PREDICT,
    folder=FOLDER,
    config=MeansConfig,
)
failing = CommandModel(train=misbehaving("fail"), predict=_PREDICT, folder=FOLDER)
linking = CommandModel(train=misbehaving("link"), predict=misbehaving("list"), folder=FOLDER)
listing = CommandModel(
    train=misbehaving("list", "{geo_file}", "{run_info_file}", "{data_file}", "; touch pwned", "$(touch pwned)"),
    predict=misbehaving("list"),
    folder=FOLDER,
    include=["scripts/*.awk"],
)
small = CommandModel(train=misbehaving("grow"), predict=misbehaving("list"), folder=FOLDER)
keeping = CommandModel(train=misbehaving("keep"), predict=misbehaving("list"), folder=FOLDER)
locking = CommandModel(train=misbehaving("lock"), predict=misbehaving("list"), folder=FOLDER)
growing = CommandModel(train=misbehaving("grow"), predict=misbehaving("list"), folder=FOLDER, max_bytes=1_000_000)
waiting = CommandModel(train=misbehaving("wait"), predict=misbehaving("list"), folder=FOLDER, kill_grace=60)
refusing = CommandModel(train=misbehaving("refuse"), predict=misbehaving("list"), folder=FOLDER, kill_grace=0.1)
speechless = CommandModel(train=misbehaving("list"), predict=misbehaving("nothing"), folder=FOLDER)
infinite = CommandModel(train=misbehaving("list"), predict=misbehaving("infinite"), folder=FOLDER)
