from ssgan_tf.system import text


def test_clock_has_hours_only_where_there_are_any() -> None:
    assert [text.clock(seconds) for seconds in (5, 65, 3665)] == ["0:05", "1:05", "1:01:05"]


def test_letters_of_east_asia_are_as_wide_as_two() -> None:
    assert (text.display_width("猫a"), text.display_width("cat")) == (3, 3)
