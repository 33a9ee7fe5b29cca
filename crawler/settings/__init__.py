"""The settings of a crawl, frozen and final: whoever is configured imports them, whoever loads them writes them."""
