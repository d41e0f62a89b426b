"""What is known of each built-in data set, for `gankit data list`, which imports nothing heavy."""

from __future__ import annotations

from gankit.data import About, Remote

DRAWN = "drawn by gankit; free"

SHAPES = About("10,000 of any size", "none", DRAWN, splits=("train", "test"))
STRIPES = About("2,000 + 2,000 of any size", "none", DRAWN, splits=("train", "test"))


def _idx(mirror: str, digests: dict[str, str]) -> tuple[Remote, ...]:
    return tuple(Remote(name, mirror + name, f"md5:{digest}") for name, digest in digests.items())


_IDX_NAMES = ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte")

MNIST = About(
    "60,000 + 10,000 grey 28x28 in 10 classes",
    "11 MB",
    "CC BY-SA 3.0",
    _idx(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    _IDX_NAMES,
    splits=("train", "test"),
)
FASHION_MNIST = About(
    "60,000 + 10,000 grey 28x28 in 10 classes",
    "30 MB",
    "MIT",
    _idx(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    _IDX_NAMES,
    packaged=("/usr/share/datasets/fashion-mnist",),
    splits=("train", "test"),
)
CIFAR10 = About(
    "50,000 + 10,000 of 32x32x3 in 10 classes",
    "170 MB",
    "none stated; cite Krizhevsky 2009",
    (
        Remote(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "md5:c32a1d4ab5d03f1284b67883e8d87530",
            170_052_171,
        ),
    ),
    ("cifar-10-batches-bin", "data_batch_1.bin", "cifar-10-binary.tar.gz"),
    splits=("train", "test", "all"),
)
SVHN = About(
    "73,257 + 26,032 + 531,131 of 32x32x3 in 10 classes",
    "182 MB, 64 MB, 1.3 GB",
    "non-commercial use only",
    tuple(
        Remote(f"{part}_32x32.mat", f"http://ufldl.stanford.edu/housenumbers/{part}_32x32.mat", f"md5:{digest}")
        for part, digest in (
            ("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            ("test", "eb5a983be6a315427106f1b164d9cef3"),
            ("extra", "a93ce644f1a588dc4d68dda5feec44a7"),
        )
    ),
    ("train_32x32.mat",),
    splits=("train", "test", "extra", "all"),
)
CELEBA = About(
    "202,599 faces of 178x218x3",
    "1.4 GB",
    "non-commercial research only",
    look_for=("img_align_celeba", "img_align_celeba.zip", "000001.jpg"),
    how="img_align_celeba.zip from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    splits=("train", "valid", "test", "all"),
)
DSPRITES = About(
    "737,280 of 64x64x1 with 6 factors",
    "27 MB",
    "Apache 2.0",
    (
        Remote(
            "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
            "https://github.com/deepmind/dsprites-dataset/raw/master/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
            "md5:7da33b31b13a06f4b04a70402ce90c2e",
        ),
    ),
    ("dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",),
)
TINY_IMAGENET = About(
    "100,000 + 10,000 of 64x64x3 in 200 classes",
    "248 MB",
    "non-commercial research only (ImageNet's terms)",
    (
        Remote(
            "tiny-imagenet-200.zip",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "md5:90528d7ca1a48142e341f4ef8d21d0de",
            248_100_043,
        ),
    ),
    ("tiny-imagenet-200", "wnids.txt", "tiny-imagenet-200.zip"),
    splits=("train", "val"),
)
AFHQ = About(
    "14,630 + 1,500 animal faces of 512x512x3 in 3 classes",
    "6.5 GB",
    "CC BY-NC 4.0",
    look_for=("train/cat", "afhq/train/cat", "afhq.zip", "afhq_v2.zip"),
    how="afhq.zip by download.sh of https://github.com/clovaai/stargan-v2",
    splits=("train", "test", "val"),
)
FOLDER = About(
    "your own", "", "yours", how="--data folder:PATH, a folder or a zip of images", splits=("train", "val", "test")
)
ARRAY = About("your own", "", "yours", how="--data array:FILE, a .npy or .npz of uint8, or of floats with --range")
UNPAIRED = About(
    "your own two domains", "", "yours", how="--data unpaired:PATH, with trainA and trainB in it",
    splits=("train", "test"),
)  # fmt: skip

_SITE = "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/"


def _pair(name: str, images: str, size: int, digest: str, licence: str = "see the CycleGAN project's page") -> About:
    files = (Remote(f"{name}.zip", f"{_SITE}{name}.zip", f"sha256:{digest}", size),)
    return About(
        images, f"{size / 1e6:,.0f} MB", licence, files, (name, "trainA", f"{name}.zip"), splits=("train", "test")
    )


PAIRS = {
    name: _pair(name, images, size, digest)
    for name, images, size, digest in (
        (
            "apple2orange", "995 apples, 1,019 oranges", 78_456_409,
            "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
        ),
        (
            "cezanne2photo", "525 paintings, 6,287 photos", 279_885_071,
            "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
        ),
        (
            "facades", "400 facades, 400 label maps", 35_135_868,
            "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
        ),
        (
            "horse2zebra", "1,067 horses, 1,334 zebras", 116_867_962,
            "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
        ),
        (
            "iphone2dslr_flower", "1,812 and 3,325 photos of flowers", 339_964_458,
            "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
        ),
        (
            "maps", "1,096 aerial photos, 1,096 maps", 1_476_754_427,
            "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
        ),
        (
            "monet2photo", "1,072 paintings, 6,287 photos", 305_231_073,
            "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
        ),
        (
            "summer2winter_yosemite", "1,231 summers, 962 winters", 132_640_856,
            "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
        ),
        (
            "ukiyoe2photo", "562 prints, 6,287 photos", 292_946_532,
            "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
        ),
        (
            "vangogh2photo", "400 paintings, 6,287 photos", 306_590_349,
            "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
        ),
    )
}  # fmt: skip
PAIRS["cityscapes"] = About(
    "2,975 street photos, 2,975 label maps", "280 MB", "non-commercial; register with the owners",
    look_for=("cityscapes", "trainA", "cityscapes.zip"),
    how="trainA, trainB, testA and testB as CycleGAN's prepare_cityscapes_dataset.py makes them of the files from "
    "https://www.cityscapes-dataset.com (after registering)",
    splits=("train", "test"),
)  # fmt: skip
