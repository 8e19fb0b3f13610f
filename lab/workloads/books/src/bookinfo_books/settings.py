"""What books reads from its environment."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bookinfo_chassis.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Plain HTTP on PORT; TLS as well on TLS_PORT when there is a certificate."""

    tls_port: Port = Field(default=9443, description="Port for TLS; used when there is a certificate")
    tls_certificate: str | None = Field(default=None, description="Certificate, PEM, and its issuers'")
    tls_key: SecretStr | None = Field(default=None, validate_default=True, description="Its private key, PEM")

    @field_validator("tls_key")
    @classmethod
    def _certificate_with_its_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (key is None) != (info.data.get("tls_certificate") is None):
            raise ValueError("it and TLS_CERTIFICATE belong together: set both or neither")
        return key
