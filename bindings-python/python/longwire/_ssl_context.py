"""What an ``ssl.SSLContext`` says, as far as it can be read, in the package's own words."""

from __future__ import annotations

import ssl as _ssl


def read(context: _ssl.SSLContext) -> tuple[bool, str | None]:
    """Return whether ``context`` verifies, and the authorities it trusts.

    TLS is rustls here, not OpenSSL: the authorities, the verify mode and the
    host name check can be read from a context and are honoured. What can be
    read and has no counterpart is refused. Client certificates, cipher lists
    and ALPN cannot be read from a context at all and do not take part.
    """
    if not _spans(context):
        raise ValueError(
            "ssl: this SSLContext does not allow both TLS 1.2 and TLS 1.3, "
            "which longwire negotiates by itself"
        )
    crl = _ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF | _ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    if context.verify_flags & crl:
        raise ValueError("ssl: this SSLContext checks revocation lists, which longwire does not")
    if context.verify_mode is _ssl.CERT_NONE:
        return False, None
    if not context.check_hostname:
        raise ValueError(
            "ssl: this SSLContext verifies certificates but not host names, which longwire "
            "does not do; use check_hostname = True, or tls=TLS(server_name=...)"
        )
    authorities = context.get_ca_certs(binary_form=True)
    if not authorities:
        raise ValueError(
            "ssl: no certificate authorities can be read from this SSLContext (those in a "
            "directory are loaded by OpenSSL only when needed); use ssl=True for the "
            "system's, or tls=TLS(ca_file=...)"
        )
    return True, "".join(map(_ssl.DER_cert_to_PEM_cert, authorities))


def _spans(context: _ssl.SSLContext) -> bool:
    low, high = context.minimum_version, context.maximum_version
    version = _ssl.TLSVersion
    low_fits = low in (version.MINIMUM_SUPPORTED, version.TLSv1_2) or 0 < low < version.TLSv1_2
    return low_fits and high in (version.MAXIMUM_SUPPORTED, version.TLSv1_3)
