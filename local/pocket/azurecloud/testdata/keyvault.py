"""Drives a Key Vault with Microsoft's clients for Python, through HTTPS_PROXY.

Keys live their whole life here: made, used, changed, rotated, deleted, recovered and purged. What the vault says of
RSA is held against OpenSSL's: each opens what the other sealed.
"""

import base64
import datetime
import os
import sys

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

tenant, app, secret, vault = sys.argv[1:5]
credential = ClientSecretCredential(tenant, app, secret)
keys = KeyClient(vault, credential, retry_total=0)
OAEP256 = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def refused(what, kind, status, call):
    try:
        call()
    except kind as error:
        got = getattr(error, "status_code", None)
        assert status is None or got == status, f"{what}: {got} {error}"
    else:
        raise AssertionError(f"{what} is not refused")


def used_in_the_vault(key):
    """A client for a key of which nothing is known but its name, so that no operation is done by the client itself."""
    return CryptographyClient(key.id, credential, retry_total=0)


def public(key):
    return rsa.RSAPublicNumbers(int.from_bytes(key.key.e), int.from_bytes(key.key.n)).public_key()


key = keys.create_rsa_key("python", size=2048)
assert key.key_type == "RSA" and key.properties.enabled and key.properties.version, key.properties
assert abs(key.properties.created_on - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)
assert keys.get_key("python").id == key.id and keys.get_key("python", key.properties.version).key.n == key.key.n

# The vault opens what OpenSSL sealed, and what it sealed itself, and nothing that was changed on the way.
in_vault = used_in_the_vault(key)
sealed = public(key).encrypt(b"a master key of thirty-two bytes", OAEP256)
assert in_vault.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext == b"a master key of thirty-two bytes"
refused("a changed ciphertext", HttpResponseError, 400,
        lambda: used_in_the_vault(key).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed[:-1] + bytes([sealed[-1] ^ 1])))

# A key that is disabled says so, and comes back.
keys.update_key_properties("python", enabled=False)
refused("a disabled key", HttpResponseError, 403, lambda: used_in_the_vault(key).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed))
keys.update_key_properties("python", enabled=True, tags={"use": "test"})
assert keys.get_key("python").properties.tags == {"use": "test"}
end = datetime.datetime(2031, 1, 1, tzinfo=datetime.timezone.utc)
assert keys.update_key_properties("python", expires_on=end).properties.expires_on == end

# What the former version sealed opens with that version only.
rotated = keys.rotate_key("python")
assert rotated.properties.version != key.properties.version and rotated.key.n != key.key.n
versions = [v.version for v in keys.list_properties_of_key_versions("python")]
assert sorted(versions) == sorted([key.properties.version, rotated.properties.version]), versions
assert used_in_the_vault(key).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext == b"a master key of thirty-two bytes"
refused("another version", HttpResponseError, 400, lambda: used_in_the_vault(rotated).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed))

# Deleted, recovered, purged.
deleted = keys.begin_delete_key("python").result()
assert deleted.recovery_id and deleted.scheduled_purge_date > deleted.deleted_date, deleted
refused("a deleted key", ResourceNotFoundError, 404, lambda: keys.get_key("python"))
keys.begin_recover_deleted_key("python").wait()
assert used_in_the_vault(key).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext == b"a master key of thirty-two bytes"
keys.begin_delete_key("python").wait()
keys.purge_deleted_key("python")
refused("a purged key", ResourceNotFoundError, 404, lambda: keys.get_deleted_key("python"))

# Who asks.
refused("an unknown key", ResourceNotFoundError, 404, lambda: keys.get_key("nobody"))
refused("a wrong secret", ClientAuthenticationError, None,
        lambda: KeyClient(vault, ClientSecretCredential(tenant, app, "wrong"), retry_total=0).get_key("atlas"))
refused("an unknown application", ClientAuthenticationError, None,
        lambda: KeyClient(vault, ClientSecretCredential(tenant, "0" * 8 + app[8:], secret), retry_total=0).get_key("atlas"))
other = keys.create_rsa_key("other", size=2048)
refused("a permission that was not given", HttpResponseError, 403,
        lambda: used_in_the_vault(other).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, sealed))
print("done")
