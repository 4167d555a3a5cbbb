"""What an LLM API will cost before it is asked.

Expected figures assume four bytes a token and the tokens of a usual pair; the most is what would
be reserved: a token for every byte and the longest answer. The budget caps both.
"""

from dataclasses import dataclass
from typing import Any

from evqa.config.data import PairGenerator, QAConfig
from evqa.qa.client import prices_of
from evqa.qa.prompt import PROMPTS, VERSION

BYTES_PER_TOKEN = 4
BYTES_PER_WORD = 6
PAIR_TOKENS = 90  # question, answer, quote and the JSON around them
PAIRS_PER_CHUNK = 5  # of the usual 160 words
PARAPHRASE_PROMPT_TOKENS, WORDING_TOKENS = 220, 20
JUDGE_OVERHEAD_TOKENS, VERDICT_TOKENS = 220, 30


@dataclass(frozen=True, slots=True)
class ApiCost:
    """Requests, tokens and dollars.

    Attributes:
        most_usd: When every request costs its reservation.
        budget_usd: Never passed.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    expected_usd: float
    most_usd: float
    budget_usd: float

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as it stands in the plan."""
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "expected_usd": round(self.expected_usd, 4),
            "most_usd": round(self.most_usd, 4),
            "budget_usd": self.budget_usd,
            "within_budget": self.expected_usd <= self.budget_usd,
        }


def api_cost(num_words: int, chunk_words: int, config: QAConfig) -> ApiCost | None:
    """Return what pairs of so many words of documents will cost; null when no API is asked.

    Raises:
        UserError: when a price is unknown.
    """
    is_bought = config.generator is PairGenerator.together
    if not (is_bought or config.judge):
        return None
    num_chunks = -(-num_words // chunk_words)
    num_pairs = num_chunks * min(PAIRS_PER_CHUNK, config.max_pairs_per_chunk)
    source_tokens = chunk_words * BYTES_PER_WORD // BYTES_PER_TOKEN
    system_tokens = len((PROMPTS / f"{VERSION}.txt").read_bytes()) // BYTES_PER_TOKEN
    requests = prompt = completion = 0
    if is_bought:
        requests += num_chunks
        prompt += num_chunks * (system_tokens + source_tokens)
        completion += num_pairs * PAIR_TOKENS
    if is_bought and config.num_paraphrases:
        requests += num_pairs
        prompt += num_pairs * PARAPHRASE_PROMPT_TOKENS
        completion += num_pairs * config.num_paraphrases * WORDING_TOKENS
    if config.judge:
        judged = num_pairs * (1 + config.num_paraphrases)
        requests += judged
        prompt += judged * (JUDGE_OVERHEAD_TOKENS + source_tokens)
        completion += judged * VERDICT_TOKENS
    prices = prices_of(config)
    most_completion = requests * config.max_completion_tokens
    return ApiCost(
        requests=requests,
        prompt_tokens=prompt,
        completion_tokens=completion,
        expected_usd=prices.micro_usd(prompt, completion) / 1e6,
        most_usd=prices.micro_usd(prompt * BYTES_PER_TOKEN, most_completion) / 1e6,
        budget_usd=config.budget_usd,
    )
