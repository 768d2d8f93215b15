"""Pages as text: what an HTML parser leaves of them."""

from __future__ import annotations

import msgspec

from rro_sdk.envs.webshop import pages
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.products import Product


def mug_of(shop: Catalogue) -> Product:
    mug = shop.product("B000000001")
    assert mug is not None
    return mug


def test_item_page(shop: Catalogue) -> None:
    page = pages.item_page("Buy it", mug_of(shop))
    assert page.simple() == (
        "Instruction: [SEP] Buy it [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] black [SEP] wine red"
        " [SEP] dark | green [SEP] size [SEP] 12 oz [SEP] Fjell Enamel Camping Mug [SEP] Price: $12.5"
        " [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )
    assert list(page.targets) == [
        *("back to search", "< prev", "description", "features", "reviews", "buy now"),
        *("black", "wine red", "dark | green", "12 oz"),
    ]


def test_rich_marks_what_was_clicked(shop: Catalogue) -> None:
    page = pages.item_page("Buy it", mug_of(shop))
    text = page.rich(chosen=lambda value: value == "wine red", seen=frozenset())
    assert text == (
        "You have clicked wine red.\nInstruction:\nBuy it\n[button] Back to Search [button_]\n"
        "[button] < Prev [button_]\ncolor\n  [button] black [button_]\n"
        "  [clicked button] wine red [clicked button_]\n  [button] dark | green [button_]\nsize\n"
        "  [button] 12 oz [button_]\nFjell Enamel Camping Mug\nPrice: $12.5\nRating: N.A.\n"
        "[button] Description [button_]\n[button] Features [button_]\n[button] Reviews [button_]\n"
        "[button] Buy Now [button_]\n"
    )


def test_results(shop: Catalogue) -> None:
    first = pages.results_page("x", [mug_of(shop)], number=1, total=1)
    assert first.simple() == (
        "Instruction: [SEP] x [SEP] Back to Search [SEP] Page 1 (Total results: 1) [SEP] Next >"
        " [SEP] B000000001 [SEP] Fjell Enamel Camping Mug [SEP] $12.5"
    )
    second = pages.results_page("x", [], number=2, total=1)
    assert list(second.targets) == ["back to search", "< prev", "next >"]
    seen = first.rich(chosen=lambda _: False, seen=frozenset({"B000000001"}))
    assert "\n\n[clicked button] B000000001 [clicked button_]\n" in seen


def test_white_space_is_what_a_parser_makes_of_it(shop: Catalogue) -> None:
    mug = mug_of(shop)
    head = "Instruction: [SEP] x [SEP] Back to Search [SEP] < Prev"

    def features(*bullets: str) -> str:
        odd = msgspec.structs.replace(mug, bullets=bullets)
        return pages.sub_page("x", odd, "Features").simple().removeprefix(head)

    assert features("one", "two") == " [SEP] one [SEP] two"
    assert features("", "two") == " [SEP]  [SEP] two"
    assert features("\n", "two") == " [SEP] two"
    assert features("\u00a0") == " [SEP] "
    assert (
        pages.sub_page("x", msgspec.structs.replace(mug, description="\n "), "Description").simple() == head
    )
    assert pages.sub_page("x", mug, "Reviews").simple() == head


def test_done_page_writes_options_for_a_script() -> None:
    text = pages.done_page("B1", {"size": "<b>'", "color": "é"}, 0.5).simple()
    assert '[SEP] options [SEP] {"color": "\\u00e9", "size": "\\u003cb\\u003e\\u0027"} [SEP] attrs' in text
    assert "max 1.0) [SEP] 0.5 [SEP] Reward Details [SEP] None" in text
    assert text.startswith("Thank you for shopping with us! [SEP] Your code: [SEP] None")


def test_a_value_of_two_options_belongs_to_the_last(shop: Catalogue) -> None:
    odd = msgspec.structs.replace(mug_of(shop), options={"width": ("10",), "size": ("10", "description")})
    page = pages.item_page("x", odd)
    assert page.targets["10"].name == "size"
    assert page.targets["description"].kind == "option"
    assert list(page.targets).index("description") < list(page.targets).index("10")
