"""The scales at which grids are run: those of masks, and those of text."""

from dataclasses import replace

from experiments.config import TrainConfig
from experiments.data import Counts, DataConfig
from experiments.grid import Preset

PRESETS = {
    "smoke": Preset(
        about="embedded data, 64 px: does it run; prints no test",
        data=DataConfig(size=(64, 64), counts=Counts(train=32, val=8, test=8)),
        model={"preset": "lite", "freeze_backbone": True},
        train=TrainConfig(steps=6, batch=4, lr=1e-3, validations=2, moments=2),
        seeds=2,
        minutes=0.07,
        test=False,
    ),
    "laptop": Preset(
        about="embedded data, 128 px, lite with a frozen encoder",
        data=DataConfig(size=(128, 128), counts=Counts(train=488, val=40, test=92)),
        model={"preset": "lite", "freeze_backbone": True},
        train=TrainConfig(steps=100, batch=8, lr=5e-3, warmup=10, validations=10),
        minutes=1.05,
    ),
    "evening": Preset(
        about="thin3d, 192 px, lite, encoder trained too",
        data=DataConfig(
            name="thin3d", size=(192, 192), augment=("flip", "enhance", "rotate", "crop")
        ),
        model={"preset": "lite"},
        train=TrainConfig(
            steps=200, batch=4, lr=5e-3, backbone_lr=0.1, warmup=20, clip=5.0, validations=5
        ),
        minutes=3.0,
    ),
    "bench": Preset(
        about="thin3d, 256 px, lite, wider, encoder trained too",
        data=DataConfig(
            name="thin3d", size=(256, 256), augment=("flip", "enhance", "rotate", "crop")
        ),
        model={"preset": "lite", "inter_channels": 32, "aspp_channels": 64},
        train=TrainConfig(
            steps=800, batch=8, lr=2e-3, backbone_lr=0.1, warmup=50, clip=5.0, validations=8
        ),
    ),
    "paper": Preset(
        about="your data, 1024 px, swin_v1_l, 187500 steps of 8 (DIS5K: 500 epochs), on GPUs",
        data=DataConfig(
            name="", size=(1024, 1024), augment=("flip", "enhance", "rotate", "pepper"), workers=8
        ),
        model={"preset": "official", "pretrained": True},
        train=TrainConfig(
            steps=187_500,
            batch=8,
            lr=1.41e-4,  # 1e-4 sqrt(8 / 4)
            schedule="constant",
            precision="bfloat16",
            threads=8,
            validations=50,
        ),
    ),
}

SMALL = {"least_side": 2.0}  # pixels of a shrunk word; the published 3 is for 640 px
WORDS = DataConfig(name="words", size=(160, 160), counts=Counts(train=400, val=40, test=150))
TEXT_PRESETS = {
    "smoke": Preset(
        about="words drawn at 128 px: does it run; prints no test",
        data=replace(WORDS, size=(128, 128), counts=Counts(train=16, val=8, test=16)),
        model={"preset": "lite", "freeze_backbone": True},
        train=TrainConfig(steps=6, batch=4, lr=1e-3, validations=2, moments=2),
        seeds=2,
        test=False,
        boxes=SMALL,
    ),
    "laptop": Preset(
        about="words drawn at 160 px, an FPN of 64 channels on a small frozen encoder",
        data=WORDS,
        model={"preset": "lite", "freeze_backbone": True},
        train=TrainConfig(steps=200, batch=8, lr=2e-2, warmup=10, validations=6),
        minutes=0.55,
        boxes=SMALL,
    ),
    "bench": Preset(
        about="words drawn at 320 px, moved and coloured, longer",
        data=replace(
            WORDS,
            size=(320, 320),
            counts=Counts(train=2000, val=100, test=300),
            augment=("flip", "rotate", "crop", "enhance"),
        ),
        model={"preset": "lite"},
        train=TrainConfig(
            steps=2000, batch=8, lr=2e-3, backbone_lr=0.3, warmup=50, validations=10, clip=5.0
        ),
    ),
    "paper": Preset(
        about="your data, 640 px, resnet50, 75000 steps of 16 (ICDAR 2015: 1200 epochs), on GPUs",
        data=DataConfig(
            name="",
            size=(640, 640),
            augment=("flip", "rotate", "crop"),
            workers=8,
        ),
        model={"preset": "official", "pretrained": True},
        train=TrainConfig(
            steps=75_000, batch=16, lr=1e-3, weight_decay=1e-4, precision="bfloat16", threads=8,
            validations=50,
        ),
    ),
}  # fmt: skip
