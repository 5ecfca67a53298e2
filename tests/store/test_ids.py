"""Ids: sorted by time, never the same."""

from store.ids import new_id


def test_ids_made_one_after_the_other_differ_and_keep_the_form() -> None:
    ids = [new_id("job") for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert all(len(found) == 25 and found.startswith("job_") for found in ids)


def test_id_begins_with_the_microseconds_in_base_32() -> None:
    made = new_id("upload").removeprefix("upload_")

    # 0 1 2 ... 9 a b c ... without i, l, o, u stand for 0 to 31, as in Crockford's base 32.
    digits = ["0123456789abcdefghjkmnpqrstvwxyz".index(letter) for letter in made[:11]]
    seconds = sum(digit * 32 ** (10 - place) for place, digit in enumerate(digits)) / 1e6
    assert 1.7e9 < seconds < 2.5e9
