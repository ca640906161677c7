"""What opens on a telephone fits there, and all of it can be reached."""

from collections.abc import Mapping

from playwright.async_api import expect
from support.browser import Windows
from support.dashboard import dialogs
from support.screenshots import settled

_OUT_OF_REACH = """dialog => {
    const inside = ({left, top, right, bottom}) =>
        left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
    const reached = button => {
        button.scrollIntoView({block: "nearest"});
        return inside(button.getBoundingClientRect());
    };
    const whole = inside(dialog.getBoundingClientRect()) && dialog.scrollWidth <= dialog.clientWidth;
    const wrong = [...dialog.querySelectorAll("button")].filter(button => !reached(button));
    return [...(whole ? [] : ["it sticks out"]), ...wrong.map(button => `${button.innerText} is out of reach`)];
}"""


async def test_each_dialog_fits_a_telephone(pages: Mapping[str, str], windows: Windows) -> None:
    # What fades in is judged as it is in the end.
    page = await windows.blank(viewport={"width": 375, "height": 667}, reduced_motion="reduce")
    found: dict[str, list[str]] = {}
    for path, button in dialogs(pages):
        await page.goto(path)
        await settled(page)
        await page.get_by_role("button", name=button).first.click()
        dialog = page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))
        await expect(dialog).to_be_visible()
        await settled(page)
        found[f"{path}: {button}"] = await dialog.evaluate(_OUT_OF_REACH)
    assert {opened: wrong for opened, wrong in found.items() if wrong} == {}


async def test_the_past_takes_more_room_only_once_the_slider_has_moved(windows: Windows) -> None:
    page = await windows.open("/memories", viewport={"width": 375, "height": 667})
    slider = page.get_by_role("slider", name="As of")
    compare = page.get_by_role("button", name="Compare")
    await expect(slider).to_be_visible()
    await expect(compare).to_be_hidden()
    await slider.press("Home")
    await expect(compare).to_be_visible()
    await page.get_by_role("button", name="Back to now").click()
    await expect(compare).to_be_hidden()
