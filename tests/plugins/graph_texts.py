"""Short texts that the graph's tests share."""

NEWS = """Acme Corp. acquired Beta Systems in 2019. Beta Systems was bought by Acme Corporation for $3.5 million.
Jane Smith, the chief executive of Acme Corp., was born in London on 5 May 1970. Smith works for Acme.
Google, founded by Larry Page and Sergey Brin, is based in Mountain View, California. Microsoft did not acquire Yahoo.
Intel may buy Mobileye. Reuters reported that IBM acquired Red Hat. Did Tesla buy SolarCity?
Samsung and Sony, which is based in Tokyo, bought Foo Limited.

International Business Machines is headquartered in Armonk."""
DOCUMENTS = {
    "a": "Acme Corp. acquired Beta Systems in 2019. Jane Smith works for Acme Corp.",
    "b": "Beta Systems was bought by Acme Corporation. IBM is based in Armonk.",
    "c": "International Business Machines acquired Red Hat. Mr. Smith was born in London.",
    "d": "Acme did not acquire Gamma Systems. J. Smith leads Acme.",
    "e": "Barack Obama married Michelle Robinson. Microsoft is based in Redmond, Washington.",
    "f": "Microsoft may buy Gamma Systems. Albert Einstein was born in Ulm, Germany.",
}
