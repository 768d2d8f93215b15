"""WebShop (arXiv 2207.01206): find a product in a shop, choose its options, buy it."""

from __future__ import annotations

import msgspec

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.webshop import demonstrations, pages, session
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.goals import Goal, goal_of
from rro_sdk.envs.webshop.pages import Mode, Page
from rro_sdk.envs.webshop.products import Product
from rro_sdk.envs.webshop.reward import Score, score
from rro_sdk.envs.webshop.session import Purchase, State
from rro_sdk.envs.webshop.sources import open_catalogue
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.fingerprint import digest_of
from rro_sdk.types import Observation, Task

INSTRUCTIONS = (
    "You shop for a product that fits an instruction. In each turn you give one command:\n"
    "- search[words]: look for products; ten of up to fifty are shown on a page\n"
    "- click[text]: click what the page shows: the number of a product, an option, Description, Features,\n"
    "  Reviews, Next >, < Prev, Back to Search or Buy Now\n"
    "Choose the options that the instruction asks for before you click Buy Now, which ends the task.\n"
    "A command that the page does not offer does nothing. You are scored by how well product, options and\n"
    "price fit the instruction."
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the environment behaves.

    Attributes:
        observation: "simple" joins the texts of a page with [SEP]; "rich" marks buttons and clicks.
        fixed: compare options so that every goal can be met. By default as the original does, which
            leaves some goals (458 of its 6,910) below 1 even on their own product.
        products: a product file in the original's layout, or a folder that holds one; by default the
            data folder's.
        size: products of a generated shop in its place; without files, 0 gives 1,000 of them.
        seed: of the generated shop.
        demonstrations: worked examples before the task, 0 to 2.
        max_steps: turns of an episode; one that is cut off has bought nothing and scores 0.
    """

    observation: Mode = "simple"
    fixed: bool = False
    products: str | None = None
    size: int = 0
    seed: int = 0
    demonstrations: int = 0
    max_steps: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.demonstrations <= len(demonstrations.EXAMPLES):
            raise ValueError(
                f"demonstrations must be 0 to {len(demonstrations.EXAMPLES)}, not {self.demonstrations}"
            )
        if self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, not {self.max_steps}")


class WebShop(Environment):
    """WebShop's text environment without a browser, a search server or a language model.

    Args:
        settings: how it behaves; keyword arguments of `Settings` may be given in its place.
        catalogue: the shop, where several environments share one; by default the one that the settings name.

    Raises:
        ConfigError: a wrong setting, or a file that cannot be read.
        DataError: a file is not of the original's layout.
    """

    name = "webshop"
    instructions = INSTRUCTIONS

    def __init__(
        self, settings: Settings | None = None, *, catalogue: Catalogue | None = None, **fields: object
    ) -> None:
        if settings is not None and fields:
            raise ConfigError("give WebShop either a Settings object or its fields, not both")
        unknown = fields.keys() - set(Settings.__struct_fields__)
        if unknown:
            known = ", ".join(Settings.__struct_fields__)
            raise ConfigError(f"WebShop has no setting {', '.join(sorted(unknown))}; it has {known}")
        try:
            self.settings = settings or msgspec.convert(fields, Settings)
        except msgspec.ValidationError as error:
            raise ConfigError(f"WebShop: {error}") from error
        self.max_steps = self.settings.max_steps
        self.demonstrations = demonstrations.messages(self.settings.demonstrations)
        self.catalogue = catalogue or open_catalogue(
            self.settings.products, size=self.settings.size, seed=self.settings.seed
        )
        self.data_digest = digest_of(self.settings, len(self.catalogue), self.catalogue.asins_digest())

    async def start(self, task: Task) -> ShoppingEpisode:
        """Begin a task. Its `data` holds a `Goal`.

        Raises:
            DataError: it does not, or the goal's product is not in this shop.
        """
        goal = goal_of(task)
        product = self.catalogue.product(goal.asin)
        if product is None:
            raise DataError(
                f"task {task.id!r}: its product {goal.asin!r} is not among the {len(self.catalogue)} of this"
                " shop; give the product file, or the size, that the goals were made for"
            )
        return ShoppingEpisode(self, goal, product.nouns)

    def sample_commands(self, task: Task) -> tuple[str, ...]:
        query = str(task.data.get("query", ""))
        found = self.catalogue.find(query) if query else ()
        opened = [f"click[{asin}]" for asin in found[:1]]
        looked = [*opened, "click[description]", "click[< prev]", "think", "click[buy now]"] if opened else []
        return (f"search[{query}]", *looked)

    def judge(self, goal: Goal, bought: Product, options: dict[str, str]) -> Score:
        """The reward of a purchase at the shop's price, with its parts.

        Raises:
            DataError: the goal's product is not in this shop.
        """
        wanted = self.catalogue.product(goal.asin)
        if wanted is None:
            raise DataError(f"the goal's product {goal.asin!r} is not in this shop")
        return score(
            bought, goal, wanted.nouns, price=bought.price, options=options, fixed=self.settings.fixed
        )


class ShoppingEpisode(Episode):
    """One buyer's way through the shop."""

    __slots__ = ("_done", "_env", "_goal", "_nouns", "_page", "_state", "_text")

    def __init__(self, env: WebShop, goal: Goal, nouns: tuple[str, ...]) -> None:
        self._env = env
        self._goal = goal
        self._nouns = nouns
        self._done = False
        self._enter(session.START)

    @property
    def opening(self) -> str:
        return self._shown(session.START, pages.search_page(self._goal.instruction_text))

    @property
    def clickables(self) -> list[str]:
        """What can be clicked, in the original's order; nothing after a purchase."""
        return list(self._page.targets)

    @property
    def ended(self) -> bool:
        """Whether something was bought."""
        return self._done

    async def step(self, command: str) -> Observation:
        if self._done:
            raise EnvironmentFault("the episode has ended: its product is bought")
        result = session.act(self._state, self._page.targets, command)
        if isinstance(result, Purchase):
            return self._buy(result)
        if result is not None:
            self._enter(result)
        return Observation(self._text)

    def limit_outcome(self) -> float:
        return 0.0

    async def fork(self) -> ShoppingEpisode:
        twin = object.__new__(ShoppingEpisode)
        for name in ShoppingEpisode.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def _enter(self, state: State) -> None:
        self._state = state
        self._page = session.page_of(state, self._goal.instruction_text, self._env.catalogue)
        self._text = self._shown(state, self._page)

    def _shown(self, state: State, page: Page) -> str:
        if self._env.settings.observation == "simple":
            return page.simple()
        return page.rich(chosen=lambda text: session.chosen_in(state, text), seen=state.seen)

    def _buy(self, purchase: Purchase) -> Observation:
        bought = self._env.catalogue.product(purchase.asin)
        if bought is None:
            raise EnvironmentFault(f"product {purchase.asin!r} left the shop while it was looked at")
        reward = score(
            bought,
            self._goal,
            self._nouns,
            price=bought.price,
            options=purchase.options,
            fixed=self._env.settings.fixed,
        ).reward
        self._done = True
        self._page = pages.done_page(bought.asin, purchase.options, reward)
        return Observation(self._shown(self._state, self._page), done=True, outcome=reward, raw=reward)
