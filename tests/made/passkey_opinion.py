"""What package `webauthn` says of an assertion, and the cases that both of our readings are held against it with."""

from __future__ import annotations

from hashlib import sha256

from authenticator import ORIGIN, RP_ID, Authenticator, text
from webauthn import verify_authentication_response
from webauthn.helpers.exceptions import WebAuthnException

from custodes.guard.passkey import Assertion

CHALLENGE = sha256(b"statement").digest()
DEVICES = {"es256": Authenticator.of("ada"), "eddsa": Authenticator.of("ada", curve=False)}


def second_opinion(device: Authenticator, assertion: Assertion, counter: int) -> bool:
    try:
        verify_authentication_response(
            credential={
                "id": text(assertion.credential),
                "rawId": text(assertion.credential),
                "type": "public-key",
                "response": {
                    "clientDataJSON": text(assertion.client_data),
                    "authenticatorData": text(assertion.authenticator_data),
                    "signature": text(assertion.signature),
                },
            },
            expected_challenge=CHALLENGE,
            expected_rp_id=RP_ID,
            expected_origin=ORIGIN,
            credential_public_key=device.cose(),
            credential_current_sign_count=counter,
            require_user_verification=True,
        )
    except WebAuthnException:
        return False
    return True


WRONG = {
    "registration": ({"type": "webauthn.create"}, "signature"),
    "no type": ({"type": None}, "signature"),
    "another challenge": ({"challenge": "AAAA"}, "signature"),
    "another origin": ({"origin": "https://guard.example.evil"}, "signature"),
    "another scheme": ({"origin": "http://guard.example"}, "signature"),
    "another service": ({"rp_id": "evil.example"}, "signature"),
    "nobody there": ({"flags": 0x04}, "no-presence"),
    "not verified": ({"flags": 0x01}, "no-verification"),
}
