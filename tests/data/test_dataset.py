import hashlib

from ssgan_tf.data.dataset import ids_digest


def test_the_digest_is_that_of_the_ids_in_whatever_order() -> None:
    assert ids_digest(["b", "a"]) == hashlib.sha256(b"a\nb").hexdigest()
    assert ids_digest(["a", "c"]) != ids_digest(["a", "b"])
    assert ids_digest(["猫"]) == hashlib.sha256("猫".encode()).hexdigest()
