"""What servers' errors say, as data: by status, by code, by words, and which field is meant.

Read from the sources and references of the providers, and from what people report of them. A
provider's peculiarity is a row. How they are weighed against each other is refusals.py's affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.errors import (
    AuthFailed,
    Forbidden,
    InvalidRequest,
    NoCredit,
    Overloaded,
    ProviderError,
    RateLimited,
    UnknownModel,
)
from providers.too_long import WORDS as TOO_LONG

BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthFailed,
    402: NoCredit,
    403: AuthFailed,
    404: UnknownModel,
    405: UnknownModel,
    407: Forbidden,
    408: Overloaded,
    409: Overloaded,
    410: UnknownModel,
    420: RateLimited,
    421: Overloaded,
    423: Overloaded,
    424: Overloaded,
    425: Overloaded,
    429: RateLimited,
    444: Overloaded,
    451: Forbidden,
    460: Overloaded,
    498: Overloaded,
    499: Overloaded,
}
"""Other 4xx are InvalidRequest, and 5xx is Overloaded."""

BY_CODE: Mapping[str, type[ProviderError]] = {
    "insufficient_quota": NoCredit,
    "billing_not_active": NoCredit,
    "billing_hard_limit_reached": NoCredit,
    "billing_error": NoCredit,
    "insufficient_balance": NoCredit,
    "insufficient_credits": NoCredit,
    "insufficient_funds": NoCredit,
    "payment_required": NoCredit,
    "arrearage": NoCredit,  # Aliyun
    "1113": NoCredit,  # Zhipu
    "contract_spend_limit_reached": NoCredit,
    "enforced_spend_limit_reached": NoCredit,
    "linked_organization_spend_limit_reached": NoCredit,
    "linked_organization_billing_unavailable": NoCredit,
    "setlimitexceeded": NoCredit,  # Volcengine: a limit that a person set
    "accountoverdueerror": NoCredit,
    "insufficient_user_quota": NoCredit,  # one-api and its descendants
    "pre_consume_token_quota_failed": NoCredit,
    "budget_exceeded": NoCredit,  # LiteLLM
    "blocked_api_access": NoCredit,  # Groq: a spending limit
    "billing_disabled": NoCredit,  # Google
    "token_quota_reached": NoCredit,  # watsonx
    "exceeded_current_quota_error": NoCredit,  # Moonshot
    "ramp_limit_exceeded": RateLimited,
    "invalid_api_key": AuthFailed,
    "api_key_invalid": AuthFailed,  # Gemini, with status 400
    "authentication_error": AuthFailed,
    "unauthenticated": AuthFailed,
    "accessdeniedexception": AuthFailed,  # Bedrock
    "unrecognizedclientexception": AuthFailed,
    "permission_error": AuthFailed,
    "permission_denied": AuthFailed,
    "organization_restricted": AuthFailed,  # Groq
    "account_deactivated": AuthFailed,
    "unsupported_country_region_territory": Forbidden,
    "model_not_found": UnknownModel,
    "model_not_available": UnknownModel,
    "model_not_supported": UnknownModel,
    "model_decommissioned": UnknownModel,
    "modelnotopen": UnknownModel,  # Volcengine
    "invalid_model": UnknownModel,  # Mistral, Perplexity
    "unknown_model": UnknownModel,  # GitHub
    "unavailable_model": UnknownModel,
    "endpoint_not_found": UnknownModel,  # Databricks
    "1211": UnknownModel,  # Zhipu
    "deploymentnotfound": UnknownModel,  # Azure
    "not_found_error": UnknownModel,
    "resourcenotfoundexception": UnknownModel,
    "overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "engine_overloaded": Overloaded,
    "server_error": Overloaded,
    "internal_server_error": Overloaded,
    "internal_error": Overloaded,
    "internalservererror": Overloaded,
    "api_error": Overloaded,
    "service_unavailable": Overloaded,
    "unavailable": Overloaded,
    "modelnotreadyexception": Overloaded,
    "serviceunavailableexception": Overloaded,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "ratelimitexceeded": RateLimited,
    "rate_limit": RateLimited,
    "rate_limited": RateLimited,
    "too_many_requests": RateLimited,
    "throttlingexception": RateLimited,
    "throttling": RateLimited,
    "resource_exhausted": RateLimited,
    "1302": RateLimited,  # Zhipu
    "slow_down": RateLimited,
    "content_policy_violation": InvalidRequest,
    "content_filter": InvalidRequest,
    "responsibleaipolicyviolation": InvalidRequest,
    "context_length_exceeded": InvalidRequest,
    "string_above_max_length": InvalidRequest,
    "not_supported_error": InvalidRequest,  # llama.cpp, with status 501
    "exceed_context_size_error": InvalidRequest,
    "tokens_limit_reached": InvalidRequest,  # GitHub
    "invalid_request_error": InvalidRequest,
    "badrequesterror": InvalidRequest,
    # litellm's proxy without a database of keys, to every key but its own.
    "no_db_connection": AuthFailed,
}
"""By code, in lower case."""

WEAK = frozenset({"invalid_request_error", "badrequesterror", "not_found_error", "permission_error",
                  "permission_denied", "resource_exhausted", "unavailable", "api_error",
                  "server_error", "internal_error", "internal_server_error",
                  "internalservererror", "no_db_connection"})  # fmt: skip
"""Codes for a whole family of errors: the message, then the status, may say more."""

BY_WORDS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"credit balance is too low|balance is insufficient|account .{0,80}is suspended"
                r"|(insufficient|not enough) (account )?(balance|credit|funds|quota)"
                r"|(no|any|out of|all available) credits\b(?! w)|credit limit|overdue|arrear"
                r"|credits?( are| is| have been| has been)? (depleted|exhausted|used up|expired)"
                r"|quota is not enough|over budget|\bkey limit exceeded|budget limit"
                r"|no (remaining|more) (quota|credits?|balance)"
                r"|trial (has |is )?(ended|expired|over)"
                r"|add (more )?(funds|credits?)\b", re.I),
     NoCredit),
    (re.compile(r"(requires|need) more credits|top up|payment required|prepaid", re.I), NoCredit),
    (re.compile(r"exceeded (your|its|the) ((current|monthly|free) )?(quota|spend|budget)"
                r"|(reach(ed|ing)|exceeded) .{0,40}(usage limits|spend(ing)? (limit|cap))"
                r"|reached (its|your|the) .{0,20}\bquota\b"
                r"|used up (your|the|all) |out of .{0,20}\bquota\b|spend alert"
                r"|requires? billing|billing.{0,30}(disabled|not enabled|not active)"
                r"|budget has been exceeded"
                r"|free (tier|quota|trial).{0,40}(exhausted|used up|exceeded)", re.I), NoCredit),
    # A tunnel without its server, which is a 404 to whoever asks.
    (re.compile(r"\b(tunnel|endpoint) \S{1,80} is offline|\b[Tt]unnel \S{1,80} not found"
                r"|ERR_NGROK_3200"), Overloaded),
    (re.compile(r"request too large|extra usage is required for long context", re.I),
     InvalidRequest),
    (re.compile(r"rate.?limit\w* (reached|exceeded|hit)|too many requests|throttl"
                r"|requests? (limit )?per (second|minute)", re.I), RateLimited),
    (TOO_LONG, InvalidRequest),
    (re.compile(r"country|region|territory|(user|your) location|not available in your"
                r"|public access is disabled|private endpoint|virtual network|firewall"
                r"|\bip (address )?.{0,20}(not (allowed|authori[sz]ed)|blocked|banned)"
                r"|^request not allowed$", re.I), Forbidden),
    (re.compile(r"flagged|moderation|content (management )?policy|safety[ _](system|polic|check)"
                r"|\b(usage|use) (polic|guideline)|content violates", re.I), InvalidRequest),
    (re.compile(r"api[ _-]?key.{0,20}(not valid|invalid|incorrect|expired)"
                r"|(invalid|incorrect|no) (api[ _-]?key|auth|credentials)"
                r"|(organi[sz]ation|account).{0,60}"
                r"\b(been|is) (disabled|restricted|deactivated|banned)"
                r"|only authorized for use with"
                r"|missing (the |an )?(authorization|api[ _-]?key|bearer|credentials)", re.I),
     AuthFailed),
    (re.compile(r"\bmodel\b.{0,120}\b(does not exist|not found|is not supported|was not found)",
                re.I | re.S), UnknownModel),
    (re.compile(r"model_not_found|decommissioned|\bmodel\b.{0,60}\bnot exist"
                r"|\b(invalid|unknown|unavailable|unsupported|unrecogni[sz]ed|no such)"
                r" (the )?model\b"
                r"(?! (param|arg|input|output|type|request|response|option|setting))"
                r"|not a valid model"
                r"|model (identifier|id|name)\b.{0,20} is (invalid|not valid|unknown)"
                r"|\bmodel\b.{0,80}((been|was) (removed|retired|deprecated)"
                r"|is not (deployed|loaded)|no longer (available|accessible))", re.I),
     UnknownModel),
    # The same in Chinese: One API and its descendants, Zhipu, Tencent, DashScope.
    (re.compile(r"额度不足|额度已用尽|额度失败|余额不足|欠费|资源已耗尽|请充值"), NoCredit),
    (re.compile(r"速率限制|请求(过多|频繁)|频率|并发|饱和"), RateLimited),
    (re.compile(r"模型不存在|无可用渠道"), UnknownModel),
    (re.compile(r"(令牌|密钥|api ?key).{0,6}(无效|错误|过期)|无效的(令牌|密钥)", re.I),
     AuthFailed),
    (re.compile(r"超长|长度超过|超出.{0,8}长度|敏感|不安全|违规"), InvalidRequest),
)  # fmt: skip
"""By message, the first that fits; region and moderation only where the status is about rights."""

BY_WORDS_INSIDE: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"rate.?limit|\bqps\b|request limit|concurren\w* (limit|request)|limit reached"
                r"|token limit exceeded|rate exceeded", re.I), RateLimited),
    (re.compile(r"unexpected endpoint"
                r"|(unknown|unsupported|no such|invalid) (endpoint|path|route|url)"
                r"|(endpoint|path|route|url) (was )?not found|no route|cannot (get|post) /"
                r"|method not allowed", re.I), UnknownModel),
    (re.compile(r"log[ -]?in fail|secret key|unauthori[sz]ed|not authenticated"
                r"|token.{0,20}(invalid|expired)|(invalid|expired).{0,10}token", re.I), AuthFailed),
    (re.compile(r"overload|capacity|\bbusy\b|unavailable|\bloading\b|not ready|warming up"
                r"|no (healthy|available|instances?)|try again later", re.I), Overloaded),
    (re.compile(r"(invalid|illegal|bad|malformed) (request|param|input|value|argument|body|json)"
                r"|max(imum)? length|validation error|(is|are) not (permitted|allowed)|unsafe"
                r"|sensitive|inappropriate|prohibited", re.I), InvalidRequest),
)  # fmt: skip
"""The same for an error inside a 200, where no status says more."""

RIGHTS = frozenset({400, 401, 403, 451})
CHAT_ONLY = re.compile(r"(?<!not a )chat model|chat/completions|only support\w* chat"
                       r"|messages.{0,20}required", re.I)  # fmt: skip
"""Of a raw prompt's refusal: the server takes chat messages only."""
RAW_ONLY = re.compile(
    r"not a chat model|not support\w* .{0,40}chat|did you mean .{0,20}v1/completions", re.I
)
"""Of chat messages' refusal: the model takes raw prompts only."""
BALANCE = re.compile(r"insufficient (account )?balance|余额不足|欠费", re.I)
"""What even a server's error says only of an empty account: MiniMax answers so with 500."""

LASTING = re.compile(
    r"(?:per|by)[- ]?(?:day|month)|/ ?(?:day|month)\b|daily|monthly|\b[rt]pd\b", re.I
)
PASSING = re.compile(r"per[- ]?(?:second|min)|/ ?(?:second|minute)\b|\b[rt]pm\b|\bqps\b", re.I)
"""A 429 about a day's or month's limit ends the run, unless it clears within the patience."""

NEVER = re.compile(r"limit:? (\d[\d,]*).{0,40}requested:? (\d[\d,]*)", re.I | re.S)
"""A limit that is smaller than this one request."""
NOTHING_AT_ALL = re.compile(r"\blimit:? 0\b(?![.,]?\d)", re.I)
"""A limit of nothing: what the account has no right to does not come by waiting."""

DROPPABLE = ("max_tokens", "max_completion_tokens", "seed", "logprobs", "n", "prompt_cache_key",
             "first_slot", "cache_control", "stream", "user")  # fmt: skip
"""Fields that can be left out, or named otherwise, without changing what is drawn."""

UNWANTED = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|not (?:supported|permitted|allowed|a valid)"
    r"|does ?n[o']t support|cannot find field|extra (?:inputs|fields)|no longer|invalid argument"
    r"|must be (?:1|one)\b|extra_forbidden|at most \d|less than or equal|greater than the max"
    r"|deprecated|不支持",
    re.I,
)
"""Words for a field that is not taken."""

NO_SUCH_VALUE = re.compile(
    r"above (?:the )?max|below (?:the )?min|out of (?:range|bounds)|range of|too (?:large|big)"
    r"|must be|should be|unmarshal|\bint(?:eger)?_?\d*\b|invalid|exceeds",
    re.I,
)
"""Words for a value that a field does not take: of a seed alone, which may be left out."""
