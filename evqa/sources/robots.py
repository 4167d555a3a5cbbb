"""What a site's robots.txt allows us (RFC 9309), and how often."""

import urllib.robotparser
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_CRAWL_DELAY_S = 60.0


def origin_of(url: str) -> str:
    """Return the scheme and host of a URL, where its robots.txt lives."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(slots=True)
class Robots:
    """The rules of the sites seen so far, for one user agent."""

    user_agent: str
    _rules: dict[str, urllib.robotparser.RobotFileParser] = field(default_factory=dict)

    def knows(self, origin: str) -> bool:
        """Tell whether the site's rules were read."""
        return origin in self._rules

    def learn(self, origin: str, status: int, text: str) -> None:
        """Remember a site's rules.

        RFC 9309, 2.3.1: an answer 4xx means everything is allowed, an unreachable file (5xx, or
        no answer: ``status`` 0) that nothing is.
        """
        rules = urllib.robotparser.RobotFileParser()
        if 200 <= status < 300:
            rules.parse(text.splitlines())
        elif 400 <= status < 500:
            rules.parse([])
        else:
            rules.parse(["User-agent: *", "Disallow: /"])
        self._rules[origin] = rules

    def allows(self, url: str) -> bool:
        """Tell whether the site's rules allow a URL."""
        return self._rules[origin_of(url)].can_fetch(self.user_agent, url)

    def crawl_delay_s(self, origin: str) -> float:
        """Return the seconds that the site wants between requests, 0 when it does not say."""
        delay = self._rules[origin].crawl_delay(self.user_agent)
        return min(float(delay or 0), MAX_CRAWL_DELAY_S)
