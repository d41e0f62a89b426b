"""What gankit loads at start: it names the variant and leaves PyTorch alone."""

from gankit import hookimpl


@hookimpl
def register_variants(register):
    register("gankit_hinge:Hinge", name="hinge", summary="GAN with the hinge loss")
