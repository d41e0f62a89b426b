"""The built-in plugins, registered through the same hooks as a stranger's."""

from gankit.hookspecs import Register, hookimpl

if not __name__.startswith("gankit."):
    raise ImportError(
        "import this package as gankit.plugins; a bare import from the source folder would make a second copy"
    )

VARIANTS = {
    "dcgan": ("dcgan:DCGAN", "deep convolutional GAN with the non-saturating loss"),
    "wgan": ("wgan:WGAN", "Wasserstein GAN with clipped weights"),
    "wgan-gp": ("wgan_gp:WGANGP", "Wasserstein GAN with gradient penalty"),
    "infogan": ("infogan:InfoGAN", "GAN with readable codes: one categorical, some continuous"),
    "cyclegan": ("cyclegan:CycleGAN", "unpaired image-to-image translation, both ways"),
    "gan": ("gan:GAN", "the first GAN: fully connected networks, the non-saturating loss"),
    "lsgan": ("lsgan:LSGAN", "GAN with least squares in place of the cross-entropy"),
    "cgan": ("cgan:CGAN", "conditional GAN: fully connected networks that are told the class"),
    "cdcgan": ("cdcgan:CDCGAN", "conditional DCGAN: convolutional networks that are told the class"),
    "cwgan": ("cwgan:CWGAN", "conditional Wasserstein GAN with clipped weights"),
    "cwgan-gp": ("cwgan_gp:CWGANGP", "conditional Wasserstein GAN with gradient penalty"),
    "acgan": ("acgan:ACGAN", "conditional GAN whose discriminator names the class"),
    "bigan": ("bigan:BiGAN", "GAN with an encoder: images to latents and back"),
}
ARCHITECTURES = {
    "dcgan": ("dcgan:DCGANArchitecture", "strided convolutions, sizes b*2^k with b from 4 to 7"),
    "mlp": ("mlp:MLPArchitecture", "fully connected layers, any size"),
    "resnet": ("resnet:ResnetArchitecture", "residual translators and patch discriminators, sizes divisible by 4"),
}
DATASETS = {
    "shapes": ("shapes:Shapes", "circles, squares and triangles, drawn from a seed"),
    "stripes": ("stripes:Stripes", "two unpaired domains: plain shapes, and striped ones; drawn from a seed"),
    "fashion-mnist": ("idx:FashionMNIST", "60,000 grey 28x28 pictures of clothes in 10 classes"),
    "folder": ("folder:Folder", "your own images: folder:PATH; class folders become labels"),
    "unpaired": ("unpaired:Unpaired", "your own two domains: unpaired:PATH with trainA and trainB in it"),
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
    _register_table(register, "datasets", DATASETS)
