"""The settings of books."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bookinfo_chassis.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Plaintext on PORT, and TLS on TLS_PORT if a certificate is set."""

    tls_port: Port = Field(default=9443, description="Port for TLS, if TLS_CERTIFICATE is set")
    tls_certificate: str | None = Field(default=None, description="Certificate chain in PEM")
    tls_key: SecretStr | None = Field(
        default=None, validate_default=True, description="Private key of the certificate, in PEM"
    )

    @field_validator("tls_key")
    @classmethod
    def _certificate_with_its_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (key is None) != (info.data.get("tls_certificate") is None):
            raise ValueError("must be set together with TLS_CERTIFICATE")
        return key
