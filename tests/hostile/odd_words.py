"""Refusals in the words of many servers, where the words or a code say more than the status does.

As odd_refusals.py. Each is what people report of a server; nothing of these is on the bill. Those
that end a run wherever they come are ENDING: by what is wrong, which is the kind of the error.
"""

from __future__ import annotations

import json
from typing import Any

from tests.hostile.made import Shape
from tests.hostile.odd_refusals import free, inside, refused


def said(status: int, document: Any, **headers: str) -> Shape:
    """A refusal whose body is a document; with status 200 an error inside."""
    written = json.dumps(document, ensure_ascii=False).encode()
    return free(inside(written) if status == 200 else refused(status, written, **headers))


def worded(status: int, message: str, **more: Any) -> Shape:
    """A refusal in OpenAI's form."""
    return said(status, {"error": {"message": message, **more}})


def googles(status: int, message: str, word: str) -> Shape:
    return said(status, [{"error": {"code": status, "message": message, "status": word}}])


ACCOUNTS: dict[str, Shape] = {
    "credit_prepaid": googles(429, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"),
    "credit_cap": googles(429, "Your project has exceeded its monthly spending cap.",
                          "RESOURCE_EXHAUSTED"),
    "credit_limit_none": googles(429, "You exceeded your current quota. limit: 0\nPlease retry in "
                                 "1.2s.", "RESOURCE_EXHAUSTED"),
    "credit_no_billing": googles(403, "This API method requires billing to be enabled.",
                                 "PERMISSION_DENIED"),
    "credit_alert": worded(400, "API access has been blocked because a spend alert threshold was "
                           "reached.", code="blocked_api_access"),
    "credit_key": worded(403, "Key limit exceeded (total limit). Manage it in the settings."),
    "credit_litellm": worded(429, "ExceededBudget: User=x over budget. Spend=10.1, Budget=10.0",
                             type="budget_exceeded", code="429"),
    "credit_one_api": worded(403, "用户额度不足, 剩余额度: 0.00", code="insufficient_user_quota"),
    "credit_one_api_english": worded(403, "user quota is not enough (request id: 2025)"),
    "credit_deducted": worded(403, "预扣费额度失败, 用户剩余额度: 0.23, 需要预扣费额度: 0.29"),
    "credit_500": said(500, {"type": "error", "error": {
        "type": "api_error", "message": "insufficient balance (1008)"}}),
    "credit_watsonx": said(403, {"errors": [{"code": "token_quota_reached", "message":
                           "This account has reached its monthly token quota"}], "trace": "x"}),
    "credit_volume": said(403, {"statusCode": 403, "message": "Out of call volume quota. Quota "
                                "will be replenished in 02:23:12."}),
    "credit_neurons": said(200, {"result": None, "success": False, "errors": [
        {"code": 3036, "message": "you have used up your daily free allocation of 10,000 neurons"}
    ]}),
    "credit_none_left": worded(403, "You have no remaining quota on your plan. Please upgrade."),
    "credit_funds": worded(400, "Your account balance is $0.00. Add funds to continue."),
    "credit_trial": worded(403, "Your free trial has ended. Please subscribe to continue."),
    "credit_tencent": said(200, {"Response": {"RequestId": "x", "Error": {
        "Code": "ResourceInsufficient.ChargeResourceExhaust", "Message": "计费资源已耗尽"}}}),
}  # fmt: skip
KEYS: dict[str, Shape] = {
    "key_disabled": said(400, {"type": "error", "error": {
        "type": "invalid_request_error", "message": "This organization has been disabled."}}),
    "key_restricted": worded(400, "Organization has been restricted. Please reach out to support.",
                             type="invalid_request_error"),
    "key_for_else": worded(400, "This credential is only authorized for use with another client.",
                           type="invalid_request_error"),
    "key_missing": worded(400, "Missing Authorization header"),
    "key_chinese": worded(400, "无效的令牌"),
}  # fmt: skip
PLACES: dict[str, Shape] = {
    "place_private": worded(403, "Public access is disabled. Please configure private endpoint."),
    "place_network": worded(403, "Access denied due to Virtual Network/Firewall rules."),
    "place_location": worded(403, "Access from your location is not permitted"),
    "place_address": worded(403, "Your IP address 192.0.2.1 is not allowed to use this key"),
    "place_region": said(403, {"error": {"type": "forbidden", "message": "Request not allowed"}}),
    "place_page": free(refused(403, b"<html><head><title>Web Page Blocked!</title></head></html>")),
    "place_wall": free(refused(403, b"<!DOCTYPE html><html><body>Enable cookies</body></html>")),
}  # fmt: skip
MODELS: dict[str, Shape] = {
    "model_invalid": said(400, {"object": "error", "message": "Invalid model: tiny-9",
                                "type": "invalid_model", "code": "1500"}),
    "model_invalid_quoted": worded(400, "Invalid model 'x'. Permitted models can be found online",
                                   code=400),
    "model_not_exist": worded(400, "Model Not Exist", code="invalid_request_error"),
    "model_chinese": worded(400, "模型不存在，请检查模型代码。", code="1211"),
    "model_id": worded(400, "m/x is not a valid model ID", code=400),
    "model_unknown": worded(400, "Unknown model: m", code="unknown_model"),
    "model_unavailable": worded(400, "Unavailable model: m", code="unavailable_model"),
    "model_identifier": said(400, {"message": "The provided model identifier is invalid."}),
    "model_not_deployed": worded(400, "Model m is not deployed"),
    "model_unsupported": worded(400, "Unsupported model: m"),
    "model_deprecated": worded(400, "The model m has been deprecated. Learn more here"),
    "model_removed": said(400, {"message": "model 'r' was removed on September 15, 2025."}),
    "path_inside": said(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
    "path_page": free(refused(404, b"<pre>Cannot POST /chat/completions</pre>")),
}  # fmt: skip

ENDING: dict[str, dict[str, Shape]] = {
    "NoCredit": ACCOUNTS, "AuthFailed": KEYS, "Forbidden": PLACES, "UnknownModel": MODELS,
}  # fmt: skip
"""By the kind of the error."""

WRONG_WORDS: dict[str, Shape] = {
    "wrong_guidelines": said(403, {"code": "The caller does not have permission", "error":
                             "Content violates usage guidelines. Failed check: SAFETY_CHECK_BIO"}),
    "wrong_moderated": worded(403, "Your chosen model requires moderation and your input was "
                              "flagged for \"violence\". No credits were charged.", code=403),
    "wrong_use": worded(403, "This request violates our Acceptable Use Policy"),
    "wrong_sensitive": worded(400, "系统检测到输入内容可能包含不安全或敏感内容"),
    "wrong_unexpected": said(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_p"],
                             "msg": "Extra inputs are not permitted", "input": 0.9}]}),
}  # fmt: skip
"""This very request is refused."""
LIMITED_WORDS: dict[str, Shape] = {
    "limited_inside_tokens": said(200, {"choices": None, "base_resp": {
        "status_code": 1039, "status_msg": "token limit exceeded(TPM)"}}),
    "limited_inside_tencent": said(200, {"Response": {"RequestId": "x", "Error": {
        "Code": "LimitExceeded", "Message": "rate limit exceeded, please retry later"}}}),
    "limited_chinese": worded(429, "当前分组上游负载已饱和，请稍后再试"),
}  # fmt: skip
"""A limit that clears."""
OVERLOADED_WORDS: dict[str, Shape] = {
    "overloaded_inside_function": said(200, {
        "statusCode": 503, "body": "{\"message\": \"Service Unavailable\"}"}),
    "overloaded_tunnel": free(refused(404, b"<!DOCTYPE html><html><body>The endpoint x.example is "
                                      b"offline. ERR_NGROK_3200</body></html>")),
    "overloaded_keys": worded(503, "Authentication Error. DB not connected",
                              type="no_db_connection", code="503"),
}  # fmt: skip
"""A server that cannot at the moment."""
