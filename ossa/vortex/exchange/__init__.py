"""The token exchange: placeholders `{TYPE:namespace:scope:id}` in trusted texts become values just in time.

exchange = TokenExchange(standard_registry(fleet=snapshots, tasks=journal), cache=TieredCache(store))
template = Template.parse(Trusted("{STATE:pool:intelligence:ready} agents are ready."))
(await exchange.resolve(template, tenant="acme")).text
"""
